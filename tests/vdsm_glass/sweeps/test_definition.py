"""A sweep's file as W&B has it, and what is said of one that W&B or `fit` would not take."""

from pathlib import Path

import optuna
import pytest
import yaml

from data_modules.common.errors import UserError
from vdsm_glass.sweeps.definition import Sweep, Trial, read

GOOD = {
    "method": "grid",
    "metric": {"name": "val/loss", "goal": "minimize"},
    "parameters": {"model.width": {"values": [1, 2]}, "flag": {"values": [True, None, 1e-5, [[0, 1.5]]]}},
    "command": ["${env}", "${interpreter}", "-m", "vdsm_glass", "fit", "--config", "toy.yaml", "${args}"],
}


def sweep(folder: Path, **changes: object) -> Sweep:
    content = {key: value for key, value in (GOOD | changes).items() if value != "left out"}
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return read(file)


def test_a_trial_is_written_as_the_agent_of_wandb_writes_it(tmp_path: Path):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    for trial in sweep(tmp_path).trials():
        of_wandb = create_sweep_command_args({"args": {name: {"value": value} for name, value in trial.values.items()}})
        assert trial.flags == of_wandb["args"]


def test_a_trials_own_values_come_after_further_options(tmp_path: Path):
    found = sweep(tmp_path)
    trial = Trial({"model.width": 1})
    line = found.arguments(trial, ["--config", "overlay.yaml"])
    assert line == ["fit", "--config", "toy.yaml", "--config", "overlay.yaml", "--model.width=1"]
    assert found.recipe == Path("toy.yaml")


def test_names_tell_trials_apart_and_stay(tmp_path: Path):
    trials = sweep(tmp_path).trials()
    names = [trial.name for trial in trials]
    assert len(set(names)) == len(names) == 8
    # A sweep to which a value is added knows its old trials again.
    more = sweep(tmp_path, parameters=GOOD["parameters"] | {"model.width": {"values": [5, 1, 2]}}).trials()
    assert set(names) < {trial.name for trial in more}
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzNTrue0123456789_.-") for name in names)
    assert Trial({"a.knots": "x" * 500}).name.startswith("a_xxx")
    assert len(Trial({"a": "x" * 500}).name) < 80


def test_equal_trials_are_one(tmp_path: Path):
    found = sweep(tmp_path, method="random", parameters={"a": {"values": [1, 2]}})
    assert len(found.trials(count=50)) == 2


def test_random_search_needs_an_end(tmp_path: Path):
    for method in ("random", "bayes"):
        with pytest.raises(UserError, match="--count"):
            sweep(tmp_path, method=method).trials()
        assert len(sweep(tmp_path, method=method, run_cap=1).trials()) == 1
    assert len(sweep(tmp_path, run_cap=3).trials()) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paramters": {}}, "did you mean 'parameters'"),
        ({"method": "gird"}, "method is 'gird'"),
        ({"metric": "left out"}, "metric is None"),
        ({"metric": {"name": "val/loss", "gaol": "minimize"}}, "metric is"),
        ({"metric": {"name": "val/loss", "goal": "min"}}, "metric.goal is 'min'"),
        ({"parameters": {}}, "parameters is {}"),
        ({"parameters": {"trainer.callbacks+": {"value": 1}}}, "is not a parameter's name"),
        ({"parameters": {"a": 3}}, "parameter `a` is 3"),
        ({"parameters": {"a": {"value": 1, "min": 2}}}, "parameter `a`: constant has the key 'min'"),
        ({"command": "left out"}, "command is None"),
        ({"command": GOOD["command"][:-1]}, "${args}"),
        ({"command": ["${env}", "python", "train.py", "${args}"]}, "vdsm_glass"),
        ({"command": [*GOOD["command"][:5], "${args}"]}, "names no recipe"),
        ({"run_cap": 0}, "run_cap is 0"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate is {'type': 'hyperband'}"),
        ({"early_terminate": {"type": "envelope", "min_iter": 3}}, "expected {type: hyperband"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "min_iter is 1 or more"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3, "etta": 2}}, "early_terminate is"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(changes: dict, said: str, tmp_path: Path):
    with pytest.raises(UserError) as error:
        sweep(tmp_path, **changes)
    assert str(tmp_path / "a.yaml") in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("said", [{"min_iter": 3}, {"max_iter": 27, "s": 2}, {"min_iter": 3, "eta": 3, "strict": True}])
def test_hyperband_compares_trials_after_the_iterations_that_wandb_compares_them_after(said: dict, tmp_path: Path):
    study = optuna.create_study(pruner=sweep(tmp_path, early_terminate={"type": "hyperband", **said}).pruner)
    for value in (1.0, 2.0):
        trial, ended = study.ask(), []
        for step in range(1, 28):
            trial.report(value, step)
            ended += [step] if trial.should_prune() else []
    assert ended[0] == 3
    assert {key for each in study.trials[:1] for key in each.system_attrs} == {f"completed_rung_{n}" for n in range(3)}

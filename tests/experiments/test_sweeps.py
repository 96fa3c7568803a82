"""Every sweep under experiments/sweeps/: W&B's agent starts trials that `fit` understands, and whose metric it logs.

A new file is found. That the test fails where a file is wrong is tested below.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace

from data_modules.common.errors import UserError
from vdsm_glass.cli import main
from vdsm_glass.sweeps.check import CommandLines, check
from vdsm_glass.sweeps.definition import Sweep, Trial, read

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
SWEEPS = sorted((EXPERIMENTS / "sweeps").rglob("*.yaml"))
RECIPES = sorted({read(file).recipe for file in SWEEPS})
DRAWN = 4


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps name their recipes from the repository's root, where `wandb agent` is started."""
    monkeypatch.chdir(ROOT)


@cache
def command_lines() -> CommandLines:
    """`fit`'s parser, made once."""
    first = read(SWEEPS[0])
    return CommandLines("fit", first.arguments(first.trials(count=1)[0])[1:])


def trials_of(sweep: Sweep) -> list[Trial]:
    """A grid's trials; of other sweeps some, and those at both ends of every range."""
    trials = sweep.trials(count=None if sweep.method == "grid" else DRAWN)
    for end in ("min", "max"):
        ends = {name: at[end] for name, at in sweep.parameters.items() if end in at}
        trials += [Trial(trials[0].values | ends)] if ends else []
    return trials


def value_at(config: Namespace, name: str) -> Any:
    """What a dotted option has become in the parsed config; of callbacks it is the last that options reach."""
    parts = name.split(".")
    node: Any = config
    for part in parts:
        if isinstance(node, list):
            node = node[-1]
        init = getattr(node, "init_args", None)
        node = getattr(init, part) if init is not None and hasattr(init, part) else getattr(node, part)
    return node


def make_model(config: Namespace) -> None:
    """Makes the model without its numbers: a width or an option that is none is only found there."""
    model = config.model.clone()
    if "perceptual" in model.init_args:
        model.init_args.perceptual = "none"
    with torch.device("meta"):
        command_lines()._parser("fit").instantiate_classes(Namespace(model=model), instantiate_groups=False)


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_trial_is_understood_and_takes_its_values(file: Path):
    sweep = read(file)
    for trial in trials_of(sweep):
        config = command_lines().parsed(sweep.arguments(trial)[1:])
        for name, value in trial.values.items():
            if name == "config":
                assert Path(value).is_file()
                continue
            assert value_at(config, name) == value, f"{file.name}: {name}"
        make_model(config)


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(each, marks=() if "compact" in each.parts else pytest.mark.thorough) for each in RECIPES],
    ids=str,
)
def test_the_metric_of_a_sweep_is_logged(recipe: Path, tmp_path: Path):
    sweeps = [sweep for sweep in map(read, SWEEPS) if sweep.recipe == recipe]
    model = recipe.parts[1]
    overlays = [f"narrow_{model}", "run"] if "compact" not in recipe.parts or model == "glass" else ["run"]
    words = ["fit", "--config", str(recipe)]
    for overlay in overlays:
        words += ["--config", str(EXPERIMENTS / "smoke" / f"{overlay}.yaml")]
    where = ["--run.dir", str(tmp_path), "--run.name", "run", "--data.root", str(tmp_path / "data")]
    assert main([*words, *where]) == 0
    with (tmp_path / "run" / "latest" / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        logged = set(next(csv.reader(lines)))
    for sweep in sweeps:
        assert sweep.metric in logged, f"{sweep.file} compares {sweep.metric}"


@pytest.mark.parametrize(
    ("swept", "misspelt"),
    [
        ("vdsm/kappa", ("model.sizes.kappa_s", "model.sizes.kapa_s")),
        ("vdsm/kl_weights", ("trainer.callbacks.tau_s.knots", "trainer.callbacks.tau_z.knots")),
        ("glass/gma_weights", ("model.weights.recj", "model.weights.rejc")),
        ("glass/actions", ("trainer.max_epochs", "trainer.max_epoch")),
    ],
)
def test_a_misspelt_parameter_of_a_copy_is_found(swept: str, misspelt: tuple[str, str], tmp_path: Path):
    right, wrong = misspelt
    text = (EXPERIMENTS / "sweeps" / f"{swept}.yaml").read_text("utf-8")
    assert f"  {right}:" in text
    copy = tmp_path / "copy.yaml"
    copy.write_text(text.replace(f"  {right}:", f"  {wrong}:"), encoding="utf-8")
    sweep = read(copy)
    with pytest.raises(UserError, match=r"there is no key.*did you mean") as error:
        check(sweep, trials_of(sweep)[:2])
    assert str(copy) in str(error.value)


@pytest.mark.parametrize(
    ("swept", "name", "value"),
    [
        ("vdsm/kappa", "model.sizes.kappa_s", "many"),
        ("glass/table_1", "config", "experiments/glass/ablations/no_such.yaml"),
        ("glass/feedback", "trainer.callbacks.T_f.knots", "[[0, high]]"),
    ],
)
def test_a_value_that_is_not_taken_is_found(swept: str, name: str, value: str):
    sweep = read(EXPERIMENTS / "sweeps" / f"{swept}.yaml")
    assert name in sweep.parameters
    good = sweep.trials()[0]
    with pytest.raises(UserError):
        check(sweep, [good, Trial(good.values | {name: value})])


def test_training_that_ends_before_its_first_validation_is_found():
    sweep = read(EXPERIMENTS / "sweeps" / "vdsm" / "kappa.yaml")
    trials = sweep.trials()[:1]
    short = ["--trainer.max_epochs", "2"]
    with pytest.raises(
        UserError, match=r"val/loss is measured every 8 epochs, and training ends after 2.*max_epochs 8"
    ):
        check(sweep, trials, short)
    check(sweep, trials, [*short, "--trainer.check_val_every_n_epoch", "1"])
    check(sweep, trials, ["--trainer.max_epochs", "8"])


def test_a_number_that_no_model_has_is_found():
    sweep = read(EXPERIMENTS / "sweeps" / "glass" / "actions.yaml")
    wrong = Trial(sweep.trials()[0].values | {"model.lma.actions": 1})
    config = command_lines().parsed(sweep.arguments(wrong)[1:])
    with pytest.raises(ValueError, match="actions is 1"):
        make_model(config)


def test_sweeps_are_as_wandb_takes_them():
    for file in SWEEPS:
        content = yaml.safe_load(file.read_text("utf-8"))
        assert content["command"][:2] == ["${env}", "${interpreter}"]
        assert content["project"] == "vdsm-glass", "trials belong to the project that runs are logged to"
        assert content["method"] != "grid" or read(file).trials()

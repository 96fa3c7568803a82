"""Recipes, overlays and run folders, through the command line."""

import csv
from pathlib import Path

import pytest
import torch
import yaml

from tests.runs import write_recipe
from vdsm_glass import processor
from vdsm_glass.cli import main

# torchdata 0.11 still calls what torch 2.15 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy's recipe, which is also where commands run."""
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: str, content: str) -> str:
    Path(file).write_text(content, encoding="utf-8")
    return file


def fit(*more: str, recipe: str = "experiments/toy.yaml") -> int:
    return main(["fit", "--config", recipe, "--trainer.max_epochs", "1", *more])


def printed(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    """What --print_config prints."""
    capsys.readouterr()
    assert main(["fit", *arguments, "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_a_run_keeps_config_metrics_and_checkpoints_in_a_folder_of_its_own(home: Path):
    for version in range(2):
        assert fit() == 0
        run = home / "runs" / "toy" / f"version_{version}"
        assert {"config.yaml", "metrics.csv", "checkpoints"} == {file.name for file in run.iterdir()}
        assert {"last.ckpt", "best.ckpt"} == {file.name for file in (run / "checkpoints").iterdir()}
        assert (home / "runs" / "toy" / "latest").resolve() == run.resolve()
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["step"] for row in rows if row["loss"]] == [str(step) for step in range(10)]
    assert len([row for row in rows if row["val_loss"]]) == 1


def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(processor, "has_bfloat16", lambda: False)
    assert fit("--trainer.precision", "bf16-mixed", "--trainer.accelerator", "cpu") == 0
    saved = yaml.safe_load((home / "runs" / "toy" / "version_0" / "config.yaml").read_text("utf-8"))
    assert saved["trainer"]["precision"] == "32-true"
    assert "no instructions for bfloat16" in caplog.text


def test_the_saved_config_is_runnable_alone_and_repeats_the_run(home: Path):
    assert fit("--model.noise", "0.5", "--ckpt_path", "last") == 0
    first = home / "runs" / "toy" / "version_0"
    (home / "experiments" / "toy.yaml").unlink()
    assert main(["fit", "--config", str(first / "config.yaml")]) == 0
    second = home / "runs" / "toy" / "version_1"
    for name in ("config.yaml", "metrics.csv"):
        assert (second / name).read_text("utf-8") == (first / name).read_text("utf-8")


def test_what_print_config_prints_is_runnable(home: Path, capsys: pytest.CaptureFixture):
    config = printed(capsys, "--config", "experiments/toy.yaml", "--model.width", "3")
    write("experiments/printed.yaml", yaml.safe_dump(config))
    assert config["base"] == []
    assert fit(recipe="experiments/printed.yaml") == 0


def test_parts_merge_key_by_key_and_later_ones_win(home: Path, capsys: pytest.CaptureFixture):
    write("experiments/model.yaml", "model: {class_path: tests.runs.Noisy, init_args: {noise: 2, width: 5}}")
    write("experiments/data.yaml", "data: {class_path: tests.runs.Numbers, init_args: {count: 8, batch_size: 2}}")
    monitor = "{class_path: lightning.pytorch.callbacks.LearningRateMonitor}"
    bar = "{class_path: lightning.pytorch.callbacks.TQDMProgressBar}"
    write(
        "experiments/recipe.yaml",
        "base: [model.yaml, data.yaml]\nmodel: {init_args: {width: 3}}\ndata: {init_args: {batch_size: 4}}\n"
        f"trainer: {{max_epochs: 1, 'callbacks+': [{monitor}]}}",
    )
    overlay = write("overlay.yaml", f"model: {{init_args: {{noise: 4}}}}\ntrainer: {{'callbacks+': [{bar}]}}")
    config = printed(capsys, "--config", "experiments/recipe.yaml", "--config", overlay, "--data.batch_size", "8")
    assert config["model"]["init_args"] == {"width": 3, "noise": 4.0, "learning_rate": 0.1}
    assert config["data"]["init_args"] == {"count": 8, "batch_size": 8, "num_workers": 0, "ours": False}
    assert [each["class_path"].rpartition(".")[2] for each in config["trainer"]["callbacks"]] == [
        "LearningRateMonitor",
        "TQDMProgressBar",
    ]


@pytest.mark.parametrize(
    "logger",
    [
        ["--trainer.logger", "false"],
        ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "elsewhere"],
    ],
)
def test_checkpoints_stay_in_the_run_folder_whatever_the_logger(logger: list[str], home: Path):
    assert fit(*logger) == 0
    run = home / "runs" / "toy" / "version_0"
    assert (run / "config.yaml").is_file()
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert not (run / "metrics.csv").exists()
    assert list(Path("elsewhere").rglob("metrics.csv")) or "false" in logger
    assert not list(Path("elsewhere").rglob("*.ckpt"))


def test_another_checkpoint_callback_writes_there_too(home: Path):
    assert fit("--trainer.callbacks+=ModelCheckpoint", "--trainer.logger", "false") == 0
    names = [file.name for file in (home / "runs" / "toy" / "version_0" / "checkpoints").iterdir()]
    assert sorted(names) == ["best.ckpt", "epoch=0-step=10.ckpt", "last.ckpt"]


def test_checkpoints_can_be_turned_off(home: Path):
    assert fit("--trainer.enable_checkpointing", "false") == 0
    assert not (home / "runs" / "toy" / "version_0" / "checkpoints").exists()


def test_a_fast_development_run_leaves_no_checkpoint(home: Path):
    assert fit("--trainer.fast_dev_run", "true") == 0
    assert not list((home / "runs").rglob("*.ckpt"))


def test_a_test_writes_beside_its_checkpoint_and_leaves_the_run_alone(home: Path):
    assert fit() == 0
    run = home / "runs" / "toy" / "version_0"
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    for checkpoint in ("best", str(run / "checkpoints" / "last.ckpt")):
        assert main(["test", "--config", "experiments/toy.yaml", "--ckpt_path", checkpoint]) == 0
    assert {file: file.read_bytes() for file in before} == before
    for version in range(2):
        assert "test_loss" in (run / "test" / f"version_{version}" / "metrics.csv").read_text("utf-8")


def test_a_longer_training_goes_on_in_the_same_run(home: Path):
    assert fit() == 0
    assert fit("--trainer.max_epochs", "2", "--ckpt_path", "last") == 0
    assert main(["fit", "--config", "experiments/toy.yaml", "--trainer.max_epochs", "2", "--run.name", "whole"]) == 0
    run = home / "runs" / "toy"
    assert sorted(folder.name for folder in run.iterdir()) == ["latest", "version_0"]
    steps = [line.split(",")[2] for line in (run / "latest" / "metrics.csv").read_text("utf-8").splitlines()[1:]]
    whole = (home / "runs" / "whole" / "latest" / "metrics.csv").read_text("utf-8").splitlines()
    assert steps == [line.split(",")[2] for line in whole[1:]]
    assert yaml.safe_load((run / "latest" / "config.yaml").read_text("utf-8"))["trainer"]["max_epochs"] == 1
    assert yaml.safe_load((run / "latest" / "config.resume-1.yaml").read_text("utf-8"))["trainer"]["max_epochs"] == 2


def test_a_finished_training_stays_as_it_is(home: Path):
    assert fit() == 0
    run = home / "runs" / "toy" / "version_0"
    before = (run / "metrics.csv").read_bytes()
    assert fit("--ckpt_path", "last") == 0
    assert (run / "metrics.csv").read_bytes() == before


def damaged(file: Path, kind: str) -> None:
    """Does to a checkpoint what disks, editors and other programs do."""
    content = torch.load(file, weights_only=True)
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif kind == "text":
        file.write_text("not a checkpoint", encoding="utf-8")
    elif kind == "foreign":
        torch.save({"weight": torch.ones(2)}, file)
    elif kind == "renamed":
        content["state_dict"] = {f"net.{name}": value for name, value in content["state_dict"].items()}
        torch.save(content, file)
    elif kind == "weights only":
        del content["optimizer_states"]
        torch.save(content, file)
    elif kind == "muon":
        content["hyper_parameters"] = {"optimizer": "muon"}
        torch.save(content, file)
    elif kind == "code":
        torch.save({**content, "extra": Path("x")}, file)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("truncated", "not a whole checkpoint"),
        ("text", "not a whole checkpoint"),
        ("foreign", "holds no state_dict"),
        ("renamed", "was written by another model than this Noisy: layer.weight is missing"),
        ("weights only", "holds no optimizer_states"),
        ("muon", "was trained by muon, and adam cannot go on with what that remembers; give --model.optimizer muon"),
        ("code", "cannot be read safely"),
    ],
)
def test_a_checkpoint_that_cannot_be_resumed_is_named(
    kind: str, complaint: str, home: Path, capsys: pytest.CaptureFixture
):
    assert fit() == 0
    run = home / "runs" / "toy" / "version_0"
    before = (run / "metrics.csv").read_bytes()
    damaged(run / "checkpoints" / "last.ckpt", kind)
    capsys.readouterr()
    assert fit("--trainer.max_epochs", "2", "--ckpt_path", "last") == 2
    said = capsys.readouterr().err
    assert "version_0/checkpoints/last.ckpt" in said
    assert complaint in said
    assert (run / "metrics.csv").read_bytes() == before
    assert not (home / "runs" / "toy" / "version_1").exists()


def test_a_run_that_cannot_start_leaves_no_folder(home: Path, capsys: pytest.CaptureFixture):
    assert fit("--ckpt_path", "missing.ckpt") == 2
    assert "missing.ckpt: no such checkpoint" in capsys.readouterr().err
    assert not list((home / "runs").rglob("version_*"))

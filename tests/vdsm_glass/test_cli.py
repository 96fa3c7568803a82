"""What a person sees who mistypes something."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from data_modules import DATASETS
from vdsm_glass import cli

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
RECIPE = EXPERIMENTS / "vdsm" / "compact" / "pendulum_pretrain.yaml"


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one error that `vdsm-glass ARGUMENTS` ends with."""
    assert cli.main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("option", "key", "nearest"),
    [
        ("--trainer.max_epoch=3", "max_epoch", "max_epochs"),
        ("--model.sizes.kapa_s=3", "kapa_s", "kappa_s"),
        ("--data.batchsize=3", "batchsize", "batch_size"),
        ("--modle.sizes.kappa_s=3", "modle", "model"),
    ],
)
def test_a_misspelt_option_is_named_with_the_nearest_valid_one(option, key, nearest, capsys, tmp_path):
    error = complaint(capsys, "fit", "--config", str(RECIPE), "--run.dir", str(tmp_path), option)
    assert key in error
    assert nearest in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overlay", "key", "nearest"),
    [
        ("trainer: {max_epoch: 3}", "max_epoch", "max_epochs"),
        ("model: {init_args: {sizes: {kapa_s: 3}}}", "kapa_s", "kappa_s"),
        ("modle: {}", "modle", "model"),
        ("model: {class_path: vdsm_glass.vdsm.VDSMPretran}", "VDSMPretran", "VDSMPretrain"),
        ("data: {init_args: {clip_lenght: 3}}", "clip_lenght", "clip_length"),
    ],
)
def test_a_misspelt_key_in_a_file_is_named_with_its_file(overlay, key, nearest, capsys, tmp_path):
    file = tmp_path / "overlay.yaml"
    file.write_text(overlay)
    error = complaint(
        capsys, "fit", "--config", str(RECIPE), "--config", str(file), "--run.dir", str(tmp_path / "runs")
    )
    assert key in error
    assert nearest in error
    assert "overlay.yaml" in error


@pytest.mark.parametrize(("word", "nearest"), [("fti", "fit"), ("prepair", "prepare")])
def test_a_misspelt_command_is_named_with_the_nearest(word, nearest, capsys):
    assert nearest in complaint(capsys, word)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("trainer: {max_epochs: 1\n", "not valid YAML"),
        ("trainer: {}\ntrainer: {}\n", "given twice"),
        ("- a\n- b\n", "expected keys and values"),
        ("base: [gone.yaml]\n", "gone.yaml"),
        ("base: [recipe.yaml]\n", "includes itself"),
    ],
)
def test_a_malformed_recipe_is_named(content, message, capsys, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(content)
    error = complaint(capsys, "fit", "--config", str(file))
    assert str(file) in error
    assert message in error


def test_a_recipe_that_is_not_there_is_named_with_the_nearest(capsys):
    error = complaint(capsys, "fit", "--config", str(RECIPE.with_name("pendulum_pretrian.yaml")))
    assert "no such recipe" in error
    assert "pendulum_pretrain.yaml" in error


def test_the_printed_config_runs_alone(capsys, tmp_path: Path):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "--config", str(RECIPE), "--print_config"]) or sys.exit(0)
    assert stop.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    again = [
        *("fit", "--config", str(file), "--config", str(EXPERIMENTS / "smoke" / "run.yaml")),
        *("--run.dir", str(tmp_path / "runs"), "--data.root", str(tmp_path / "data")),
    ]
    assert cli.main(again) == 0
    assert (tmp_path / "runs" / "printed" / "latest" / "checkpoints" / "last.ckpt").is_file()


ANSWERED_AT_ONCE = [
    *([command, "--help"] for command in cli.COMMANDS),
    *([command, name, "--help"] for command in ("prepare", "show", "judge") for name in DATASETS),
    *([command, "pendulum", "--nonsense", "3"] for command in ("prepare", "show", "judge")),
    ["generate", "swap", "--help"],
    ["generate", "swap", "model", "--nonsense", "3"],
    ["show", "pendulum", "--size", "large"],
    ["score", "real", "generated", "--metrics", "nonsense"],
    ["fit"],
    ["fit", "--trainer.max_epoch", "3"],
    ["fit", "--config", str(RECIPE), "--model.nonsense", "3"],
    ["fit", "--config", str(RECIPE), "--data.nonsense", "3"],
    ["test", "--config", str(RECIPE), "--nonsense", "3"],
    ["predict", "--config", "nonsense.yaml"],
    ["play", "model", "--nonsense", "3"],
    ["table", "nonsense"],
    ["study", "--config", "nonsense.yaml"],
    *([command, "--nonsense", "3"] for command in ("sweep", "demo", "weights", "export")),
    ["nonsense"],
]


def test_help_and_wrong_arguments_need_neither_torch_nor_lightning():
    # Wall time depends on who else uses the machine; what is imported does not.
    script = """
import sys
from vdsm_glass.cli import main
for arguments in eval(sys.stdin.read()):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == (0 if arguments[-1] == "--help" else 2), arguments
    heavy = {"torch", "lightning", "torchmetrics", "scipy", "sklearn", "matplotlib", "wandb", "optuna"}
    heavy &= set(sys.modules)
    assert not heavy, (arguments, heavy)
"""
    job = [sys.executable, "-c", script]
    done = subprocess.run(job, input=repr(ANSWERED_AT_ONCE), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "fit" in done.stdout


def test_what_the_system_refuses_is_one_error_that_says_what_to_do(monkeypatch, capsys, tmp_path):
    def refuse(_: list[str]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/last.ckpt")

    monkeypatch.setattr("vdsm_glass.commands.models.main", refuse)
    said = complaint(capsys, "models")
    assert said.startswith("vdsm-glass: error: runs/last.ckpt: No space left on device; make room there")


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(_: list[str]) -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file", "a file of ours")

    monkeypatch.setattr("vdsm_glass.commands.models.main", fail)
    with pytest.raises(FileNotFoundError):
        cli.main(["models"])

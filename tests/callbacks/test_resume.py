"""A run that was killed goes on as if nothing had happened."""

import csv
import signal
from pathlib import Path

import pytest
import torch

from tests.runs import SIGNAL, run_alone, write_recipe

Rows = list[dict[str, str]]


def rows(run: Path) -> Rows:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def command(home: Path, name: str, *more: str) -> list[str]:
    recipe = write_recipe(home)
    return ["fit", "--config", str(recipe), "--run.dir", str(home / "runs"), "--run.name", name, *more]


@pytest.fixture(scope="module")
def uninterrupted(home: Path) -> Rows:
    assert run_alone(*command(home, "whole")) == 0
    return rows(home / "runs" / "whole" / "latest")


@pytest.mark.parametrize(
    ("name", "step", "code", "saved"),
    [
        # Nothing is saved when it dies: it goes on from step 12, and takes steps 12 to 16 again.
        ("SIGKILL", 16, -signal.SIGKILL, 12),
        # Both end after the step in which they arrive, and save it.
        ("SIGINT", 16, 130, 17),
        ("SIGTERM", 16, 143, 17),
    ],
)
def test_the_same_command_with_last_gives_the_losses_of_an_uninterrupted_run(
    name: str, step: int, code: int, saved: int, home: Path, uninterrupted: Rows
):
    arguments = command(home, name, "--checkpoint.every_n_train_steps", "6", "--ckpt_path", "last")
    run = home / "runs" / name / "version_0"
    assert run_alone(*arguments, environment={SIGNAL: f"{name}@{step}"}) == code
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == saved
    assert run_alone(*arguments) == 0
    assert rows(run) == uninterrupted
    assert not (home / "runs" / name / "version_1").exists()

"""A run that was killed goes on as if nothing had happened."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks.checkpoint_io import AtomicCheckpointIO
from tests.processes import exit_codes
from tests.runs import SIGNAL, run_alone, write_recipe
from vdsm_glass.cli import main

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
Rows = list[dict[str, str]]


def rows(run: Path) -> Rows:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def toy(home: Path) -> list[str]:
    """Ten steps an epoch, from a StatefulDataLoader, whose order is drawn from the global generator."""
    return ["--config", str(write_recipe(home))]


def vdsm(home: Path) -> list[str]:
    """Five steps an epoch of VDSM's first stage, annealed, averaged, from our loader, validated in mid-epoch, too."""
    return [
        *("--config", str(EXPERIMENTS / "vdsm" / "compact" / "pendulum_pretrain.yaml")),
        *("--config", str(EXPERIMENTS / "smoke" / "run.yaml"), "--data.root", str(home / "data")),
        *("--data.batches_per_epoch", "5", "--trainer.limit_train_batches", "5", "--trainer.max_epochs", "3"),
        *("--trainer.callbacks", "callbacks.KLAnnealing", "--trainer.callbacks.lambda_z.knots", "[[0, 1], [1, 3]]"),
        *("--trainer.callbacks.tau_s.knots", "[[0, 1], [1, 10]]"),
        *("--trainer.callbacks+=callbacks.WeightAverage", "--trainer.callbacks+=tests.runs.Interrupt"),
        *("--trainer.val_check_interval", "2"),
    ]


WORKLOADS = {"toy": toy, "vdsm": vdsm}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def command(home: Path, workload: str, name: str, *more: str) -> list[str]:
    return ["fit", *WORKLOADS[workload](home), "--run.dir", str(home / "runs"), "--run.name", name, *more]


@pytest.fixture(scope="module")
def uninterrupted(home: Path) -> dict[str, Rows]:
    """The rows of a run that nothing stopped, by workload."""
    for workload in WORKLOADS:
        assert run_alone(*command(home, workload, workload)) == 0
    return {workload: rows(home / "runs" / workload / "latest") for workload in WORKLOADS}


@pytest.mark.parametrize(
    ("workload", "name", "step", "code", "saved"),
    [
        # It dies before it is due to save: what was saved before its first step is there to go on from.
        ("toy", "SIGKILL", 0, -signal.SIGKILL, 0),
        ("toy", "SIGKILL", 4, -signal.SIGKILL, 0),
        ("vdsm", "SIGKILL", 3, -signal.SIGKILL, 0),
        # Nothing is saved when it dies: it goes on from the last checkpoint, and takes the steps after it again.
        ("toy", "SIGKILL", 16, -signal.SIGKILL, 12),
        # Both end after the step in which they arrive, and save it.
        ("toy", "SIGINT", 16, 130, 17),
        ("toy", "SIGTERM", 16, 143, 17),
        # Who cannot wait gets what was saved before.
        ("toy", "SIGINT,SIGINT", 16, 130, 12),
        ("vdsm", "SIGKILL", 8, -signal.SIGKILL, 6),
        ("vdsm", "SIGINT", 7, 130, 8),
        # A checkpoint between two epochs, and one after a validation in mid-epoch.
        ("vdsm", "SIGINT", 9, 130, 10),
        ("vdsm", "SIGINT", 6, 130, 7),
    ],
)
def test_the_same_command_with_last_gives_the_losses_of_an_uninterrupted_run(
    workload: str, name: str, step: int, code: int, saved: int, home: Path, uninterrupted: dict[str, Rows]
):
    label = f"{workload}-{name}-{step}"
    arguments = command(home, workload, label, "--checkpoint.every_n_train_steps", "6", "--ckpt_path", "last")
    run = home / "runs" / label / "version_0"
    assert run_alone(*arguments, environment={SIGNAL: f"{name}@{step}"}) == code
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == saved
    assert run_alone(*arguments) == 0
    assert rows(run) == uninterrupted[workload]
    assert not (home / "runs" / label / "version_1").exists()


def kill_behind_checkpoint(arguments: list[str], step: int) -> None:
    """Runs a command, and kills it right after a checkpoint of that step was written."""
    save = AtomicCheckpointIO.save_checkpoint

    def save_and_die(self: AtomicCheckpointIO, checkpoint: dict[str, Any], *more: Any, **options: Any) -> None:
        save(self, checkpoint, *more, **options)
        if checkpoint["global_step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    AtomicCheckpointIO.save_checkpoint = save_and_die
    main(arguments)


@pytest.mark.parametrize("step", [4, 10])
def test_a_run_killed_right_after_it_was_saved_has_the_row_of_that_step(
    home: Path, uninterrupted: dict[str, Rows], step: int
):
    name = f"behind_{step}"
    arguments = command(home, "toy", name, "--checkpoint.every_n_train_steps", "2", "--ckpt_path", "last")
    assert exit_codes(kill_behind_checkpoint, (arguments, step)) == [-signal.SIGKILL]
    assert run_alone(*arguments) == 0
    assert rows(home / "runs" / name / "latest") == uninterrupted["toy"]

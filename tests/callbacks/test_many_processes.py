"""Runs of several processes: one folder, one decision, noise of its own for each."""

import csv
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tests.processes import PATIENCE, python
from tests.runs import SIGNAL, run_alone, write_recipe

ROOT = Path(__file__).resolve().parents[2]
TWO = ["--trainer.devices", "2", "--trainer.max_epochs", "2", "--data.ours", "true"]


def fit(home: Path, name: str, *more: str) -> list[str]:
    return [
        *("fit", "--config", str(write_recipe(home)), "--run.dir", str(home / "runs"), "--run.name", name),
        *(*TWO, *more),
    ]


def losses(run: Path) -> list[str]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return [row["loss"] for row in csv.DictReader(lines) if row["loss"]]


def only_version(home: Path, name: str) -> Path:
    folder = home / "runs" / name
    assert sorted(each.name for each in folder.iterdir()) == ["latest", "version_0"]
    return folder / "version_0"


@pytest.mark.parametrize("code", ["SIGKILL", "SIGINT"])
def test_two_processes_stop_together_and_resume_exactly(code: str, tmp_path: Path):
    forked = ["--trainer.strategy", "ddp_fork", "--checkpoint.every_n_train_steps", "2", "--ckpt_path", "last"]
    assert run_alone(*fit(tmp_path, "whole", *forked)) == 0
    assert run_alone(*fit(tmp_path, "cut", *forked), environment={SIGNAL: f"{code}@3"}) != 0
    run = only_version(tmp_path, "cut")
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == (2 if code == "SIGKILL" else 4)
    noise = [state["torch"] for state in saved["rng_states"]]
    assert len(noise) == 2
    assert not torch.equal(*noise)
    assert run_alone(*fit(tmp_path, "cut", *forked)) == 0
    assert losses(run) == losses(only_version(tmp_path, "whole"))


def test_a_checkpoint_of_one_process_is_resumed_by_two(tmp_path: Path):
    assert run_alone(*fit(tmp_path, "toy", "--trainer.devices", "1", "--trainer.max_epochs", "1")) == 0
    assert run_alone(*fit(tmp_path, "toy", "--trainer.strategy", "ddp_fork", "--ckpt_path", "last")) == 0
    assert len(losses(only_version(tmp_path, "toy"))) == 10 + 5


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launched(*command: str, environments: Sequence[dict[str, str]] = ({},)) -> list[tuple[int, str]]:
    """Exit code and error output of a command that is started at once in every environment."""
    with ExitStack() as running:
        processes = [
            running.enter_context(python(["-m", *command], environment, cwd=ROOT, stderr=subprocess.PIPE))
            for environment in environments
        ]
        said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
        return [(process.returncode, text[-9000:]) for process, text in zip(processes, said, strict=True)]


def codes(*command: str, environments: Sequence[dict[str, str]] = ({},)) -> list[int]:
    found = launched(*command, environments=environments)
    assert all(code in (0, 130) for code, _ in found), found
    return [code for code, _ in found]


@pytest.mark.thorough
def test_a_loss_that_is_not_finite_in_one_process_stops_both(tmp_path: Path):
    command = fit(tmp_path, "toy", "--trainer.strategy", "ddp", "--checkpoint.every_n_train_steps", "2")
    [(code, said)] = launched("vdsm_glass", *command, environments=[{SIGNAL: "NAN@3"}])
    assert code == 2
    assert "vdsm-glass: error: step 3, epoch 0, batch 3: the loss is nan" in said
    saved = torch.load(only_version(tmp_path, "toy") / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2


@pytest.mark.thorough
def test_lightnings_own_launcher(tmp_path: Path):
    assert codes("vdsm_glass", *fit(tmp_path, "whole", "--trainer.strategy", "ddp")) == [0]
    assert len(losses(only_version(tmp_path, "whole"))) == 10
    cut = fit(tmp_path, "cut", "--trainer.strategy", "ddp", "--ckpt_path", "last")
    assert codes("vdsm_glass", *cut, environments=[{SIGNAL: "SIGINT@3"}]) == [130]
    assert codes("vdsm_glass", *cut) == [0]
    assert losses(only_version(tmp_path, "cut")) == losses(only_version(tmp_path, "whole"))


@pytest.mark.thorough
def test_torchrun(tmp_path: Path):
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    for _ in range(2):
        assert codes(*torchrun, "-m", "vdsm_glass", *fit(tmp_path, "toy")) == [0]
    folders = sorted(folder.name for folder in (tmp_path / "runs" / "toy").iterdir())
    assert folders == ["latest", "version_0", "version_1"]
    assert losses(tmp_path / "runs" / "toy" / "version_0") == losses(tmp_path / "runs" / "toy" / "version_1")


def machines(
    home: Path, name: str, *more: str, environments: Sequence[dict[str, str]] = ({}, {})
) -> list[tuple[int, str]]:
    """Exit code and error output of two agents of torchrun that meet on this machine, each with one process."""
    agent = [
        *("torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", f"127.0.0.1:{free_port()}", "-m", "vdsm_glass"),
    ]
    command = fit(home, name, "--trainer.devices", "1", "--trainer.num_nodes", "2", *more)
    return launched(*agent, *command, environments=environments)


@pytest.mark.thorough
def test_two_machines_are_as_two_processes_and_stop_together(tmp_path: Path):
    every = ["--checkpoint.every_n_train_steps", "2", "--ckpt_path", "last"]
    assert run_alone(*fit(tmp_path, "whole", "--trainer.strategy", "ddp_fork")) == 0
    cut = machines(tmp_path, "cut", *every, environments=[{SIGNAL: "SIGKILL@3"}] * 2)
    assert all(code not in (0, None) for code, _ in cut), cut
    # One process is killed. The other says so, or its own agent stops it first, whichever loses the connection sooner.
    assert "".join(text for _, text in cut).count("vdsm-glass: error: ") <= 1
    assert all(code == 0 for code, _ in machines(tmp_path, "cut", *every))
    assert losses(only_version(tmp_path, "cut")) == losses(only_version(tmp_path, "whole"))


@pytest.mark.thorough
def test_slurm(tmp_path: Path):
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    tasks = [job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
    assert codes("vdsm_glass", *fit(tmp_path, "toy"), environments=tasks) == [0, 0]
    assert len(losses(only_version(tmp_path, "toy"))) == 10

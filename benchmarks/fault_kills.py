"""Runs killed at random instants: every checkpoint readable, and once resumed, what an undisturbed run gives.

A job is one command, repeated until it ends by itself. On the way it is killed by SIGKILL, with all that it started, a
few times, each at an instant between its start and the time that it takes undisturbed. Jobs are forked from a process
that has imported everything. The toy of the tests trains with a checkpoint after every step and a validation after
every second, so that most kills hit the writing of a checkpoint or a validation.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.processes import kill_all_of
from tests.runs import write_recipe
from vdsm_glass.checkpoints import read_checkpoint
from vdsm_glass.cli import main

PATIENCE = 600
KILLS_A_JOB = 4
SHARES = {"fit": 60, "export": 20, "prepare": 18, "sweep": 2}
"""Of 100 kills."""


@dataclass(frozen=True)
class Job:
    """A command to kill.

    Args: arguments, given a folder; result, what is there at the end, to be compared; done, whether a process that was
        killed had done everything, so that the command refuses to do it again.
    """

    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], object]
    done: Callable[[Path], bool] = lambda _: False


def fit(folder: Path) -> list[str]:
    """The toy's training, or how it goes on."""
    return [
        *("fit", "--config", str(write_recipe(folder)), "--run.dir", str(folder / "runs"), "--run.name", "toy"),
        *("--checkpoint.every_n_train_steps", "1", "--trainer.val_check_interval", "2", "--ckpt_path", "last"),
        *("--data.ours", "true"),
    ]


def metrics(folder: Path) -> object:
    """All rows of the newest run's metrics.csv."""
    with (folder / "runs" / "toy" / "latest" / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return [dict(sorted(row.items())) for row in csv.DictReader(lines)]


def prepare(folder: Path) -> list[str]:
    """A store of small pendula."""
    return ["prepare", "pendulum", "--root", str(folder / "data"), "--size", "16", "--tiny", "--workers", "0"]


def bytes_of(folder: Path) -> object:
    """The content of every file, by name; a file more was left behind."""
    files = [each for each in (folder / "data").rglob("*") if each.is_file() and not each.name.endswith(".lock")]
    return {str(each.relative_to(folder)): hash(each.read_bytes()) for each in files}


def export(folder: Path) -> list[str]:
    """A model of the box as a folder of one's own."""
    return ["export", str(folder.parent / "export.ckpt"), str(folder / "made")]


def exported(folder: Path) -> object:
    """Its files; it must be whole whenever it is there."""
    return {each.name: hash(each.read_bytes()) for each in (folder / "made").iterdir()}


def is_exported(folder: Path) -> bool:
    """Whether the folder is there."""
    return (folder / "made").exists()


def sweep(folder: Path) -> list[str]:
    """Two trainings of the toy, each in a process of its own."""
    file = folder / "toys.yaml"
    command = ["${env}", "${interpreter}", "-m", "vdsm_glass", *fit(folder)[:3], "${args}"]
    content = {
        "method": "grid",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"model.width": {"value": 3}, "model.noise": {"values": [0.0, 1.0]}},
        "command": command,
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return ["sweep", str(file), "--runs", str(folder / "runs"), "--jobs", "1"]


def trials(folder: Path) -> object:
    """The rows of every trial's metrics.csv."""
    found = sorted((folder / "runs").rglob("metrics.csv"))
    return {str(each.relative_to(folder)): each.read_text() for each in found if "latest" not in each.parts}


JOBS = {"fit": Job(fit, metrics), "prepare": Job(prepare, bytes_of), "export": Job(export, exported, is_exported)}
JOBS["sweep"] = Job(sweep, trials)


def command(arguments: list[str], folder: Path) -> None:
    """One command in a process that leads a session, quietly."""
    os.setsid()
    os.chdir(folder)
    with (folder / "said.txt").open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.exit(main(arguments))


def run_for(arguments: list[str], folder: Path, seconds: float | None) -> tuple[int | None, float]:
    """Runs a command, which is killed after `seconds` if they are given.

    Returns: its exit code, None if it was killed, and how long it ran.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["vdsm_glass.commands.train", "vdsm_glass.export", "tests.runs"])
    process = context.Process(target=command, args=(arguments, folder))
    process.start()
    began = time.monotonic()
    try:
        while process.exitcode is None:
            ran = time.monotonic() - began
            if seconds is not None and ran >= seconds:
                return None, ran
            if ran > PATIENCE:
                raise TimeoutError(f"{arguments[0]} did not end")
            time.sleep(0.001)
        return process.exitcode, time.monotonic() - began
    finally:
        kill_all_of(process.pid or 0)
        process.kill()
        process.join()


def unreadable(folder: Path) -> list[str]:
    """What is wrong with the checkpoints of a folder."""
    wrong = []
    for file in folder.rglob("*.ckpt"):
        if not file.name.startswith("."):  # what was being written
            try:
                read_checkpoint(file)
            except Exception as error:
                wrong.append(f"{file.name}: {error}")
    return wrong


def killed_job(kind: str, folder: Path, draw: random.Random, lasts: float, expected: object) -> tuple[int, list[str]]:
    """A job that is killed a few times, then left alone.  Returns: how often it was killed; what was wrong."""
    job, kills = JOBS[kind], 0
    folder.mkdir()
    wrong: list[str] = []
    for _ in range(KILLS_A_JOB):
        saved = any(folder.rglob("last.ckpt"))
        code, _ = run_for(job.arguments(folder), folder, draw.uniform(0, lasts))
        kills += code is None
        if code:
            wrong.append(f"ended with {code}")
        wrong += unreadable(folder)
        if saved and not any(folder.rglob("last.ckpt")):
            wrong.append("the checkpoint is gone")
        if code is not None or job.done(folder):
            break
    else:
        code, _ = run_for(job.arguments(folder), folder, None)
        if code:
            wrong.append(f"ended with {code} when it went on: {(folder / 'said.txt').read_text()[-300:]}")
    if not wrong and job.result(folder) != expected:
        wrong.append("the result is another one than that of the undisturbed run")
    return kills, wrong


def run(count: int, seed: int, state: Path, progress: Callable[[int], None]) -> dict[str, Any]:
    """Kills until there were `count`, those that `state` tells of included.

    Returns: kills by kind of job, jobs, and what was wrong.
    """
    state.touch()
    lines = [json.loads(line) for line in state.read_text().splitlines()]
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        lasts: dict[str, float] = {}
        expected: dict[str, object] = {}
        number = len(lines)
        while (done := sum(line["kills"] for line in lines)) < count:
            draw = random.Random(f"kills {seed} {number}")
            [kind] = draw.choices(list(SHARES), weights=list(SHARES.values()))
            if kind not in lasts:
                if kind == "export":
                    save_model(home / "export.ckpt")
                (folder := home / f"undisturbed_{kind}").mkdir()
                code, lasts[kind] = run_for(JOBS[kind].arguments(folder), folder, None)
                if code:
                    raise RuntimeError(f"{kind} fails undisturbed: {(folder / 'said.txt').read_text()[-2000:]}")
                expected[kind] = JOBS[kind].result(folder)
            kills, wrong = killed_job(kind, home / str(number), draw, lasts[kind], expected[kind])
            shutil.rmtree(home / str(number))
            lines.append({"job": number, "kind": kind, "kills": kills, "wrong": wrong})
            with state.open("a") as log:
                log.write(json.dumps(lines[-1]) + "\n")
            number += 1
            progress(done + kills)
    by_kind = {kind: sum(line["kills"] for line in lines if line["kind"] == kind) for kind in SHARES}
    return {
        "kills": sum(by_kind.values()),
        "kills_by_kind": by_kind,
        "jobs": len(lines),
        "wrong": sum(bool(line["wrong"]) for line in lines),
        "kinds": [line for line in lines if line["wrong"]],
    }


def save_model(path: Path) -> None:
    """A run of a small VDSM, whose checkpoint is moved to `path`."""
    from tests.vdsm_glass.play.small import vdsm_checkpoint

    shutil.copy(vdsm_checkpoint(path.parent / "model"), path)

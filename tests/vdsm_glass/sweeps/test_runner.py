"""Trials side by side: what is trained again and what not, who is stopped how, and what is said.

`fit` is stood in for by a script, which starts in a hundredth of the time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from data_modules.common.errors import UserError
from vdsm_glass.commands import sweep as command
from vdsm_glass.sweeps import runner
from vdsm_glass.sweeps.runner import GPUS, THREADS, slots_of
from vdsm_glass.sweeps.state import STATE, State, locked

FIT = """
import json, os, signal, sys, time
from pathlib import Path

options = dict(word.removeprefix("--").split("=") for word in sys.argv[1:] if "=" in word)
home = Path(sys.argv[sys.argv.index("--run.dir") + 1]) / sys.argv[sys.argv.index("--run.name") + 1]
run = home / "latest"
run.mkdir(exist_ok=True)
with (home / "calls.json").open("a") as calls:
    entry = {"argv": sys.argv[1:], "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
    calls.write(json.dumps(entry) + "\\n")
x = float(options["x"])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
if x == 13:
    print("cannot train this")
    sys.exit(2)
resumed = (run / "saved").exists()
if x == 7 and not resumed:
    (home / "waits").touch()
    while not stopped:
        time.sleep(0.01)
    (run / "saved").touch()
    sys.exit(143)
(run / "metrics.csv").write_text(f"step,val/loss\\n1,{x - 1}\\n2,{x}\\n")
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the script stands in for `fit`, and its parser for ours."""
    script = tmp_path / "fit.py"
    script.write_text(FIT, encoding="utf-8")
    monkeypatch.setattr(runner, "interpreter_line", lambda words: [sys.executable, "-S", str(script), *words])
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("vdsm_glass.sweeps.check.check", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *values: float, goal: str = "minimize", **changes: object) -> str:
    content = {
        "method": "grid",
        "metric": {"name": "val/loss", "goal": goal},
        "parameters": {"x": {"values": list(values)}},
        "command": ["${env}", "${interpreter}", "-m", "vdsm_glass", "fit", "--config", "toy.yaml", "${args}"],
    }
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return str(file)


def records(home: Path) -> dict[float, dict]:
    content = json.loads((home / "runs" / "sweeps" / "a" / STATE).read_text("utf-8"))
    return {record["values"]["x"]: record for record in content["trials"].values()}


def calls(home: Path) -> dict[float, list[dict]]:
    """How often, and how, each trial was trained."""
    found = {}
    for file in (home / "runs" / "sweeps" / "a").glob("*/calls.json"):
        entries = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        (x,) = (word.partition("=")[2] for word in entries[0]["argv"] if word.startswith("--x="))
        found[float(x)] = entries
    return found


def test_what_is_done_is_not_trained_again_and_what_failed_is(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 3, 13, 1), "--", "--data.root=d"]) == 1
    said = capsys.readouterr().out
    assert {x: record["status"] for x, record in records(home).items()} == {3: "done", 13: "failed", 1: "done"}
    assert [records(home)[1][key] for key in ("last", "best")] == [1, 0]
    log = next((home / "runs" / "sweeps" / "a").glob("x_13-*/log.txt"))
    assert f"failed with code 2; see {log.relative_to(home)}" in said
    assert "cannot train this" in log.read_text("utf-8")
    # Best first, those without a number last.
    rows = [line for line in said.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["1", "3", "13"]
    assert (home / "runs" / "sweeps" / "a" / "sweep.png").is_file()
    assert command.main([write(home, 3, 13, 1, 2), "--", "--data.root=d"]) == 1
    assert {x: len(entries) for x, entries in calls(home).items()} == {3: 1, 13: 2, 1: 1, 2: 1}
    argv = calls(home)[13][0]["argv"]
    assert argv[argv.index("--run.name") + 1].startswith("sweeps/a/x_13-")
    assert argv[argv.index("--ckpt_path") + 1] == "last"
    assert argv.index("--data.root=d") < argv.index("--x=13")


def test_more_is_better_where_the_file_says_so(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 3, 5, 4, goal="maximize")]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["5", "4", "3"]
    assert records(home)[5]["best"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_lets_trials_save_themselves_and_goes_on(number: int, home: Path):
    def stop() -> None:
        folder = home / "runs" / "sweeps" / "a"
        while not list(folder.glob("*/waits")):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    assert command.main([write(home, 7, 1)]) == 128 + number
    assert {x: record["status"] for x, record in records(home).items()} == {7: "stopped", 1: "waiting"}
    assert command.main([write(home, 7, 1)]) == 0
    assert {x: record["status"] for x, record in records(home).items()} == {7: "done", 1: "done"}
    assert {x: len(entries) for x, entries in calls(home).items()} == {7: 2, 1: 1}


def test_a_trial_that_outlives_a_killed_sweep_is_not_trained_twice(home: Path):
    folder = home / "runs" / "sweeps" / "a"
    with locked(folder), pytest.raises(UserError, match="this sweep is being run"):
        command.main([write(home, 1)])
    # Nobody holds the folder, but its state says that a trial runs: the sweep was killed, and goes on.
    assert command.main([write(home, 1)]) == 0
    file = folder / STATE
    file.write_text(file.read_text("utf-8").replace('"done"', '"running"'), encoding="utf-8")
    assert command.main([write(home, 1)]) == 0
    assert len(calls(home)[1]) == 2


def test_trials_hold_the_lock_of_their_sweep(home: Path):
    state = State(folder=home / "s", metric="val/loss", goal="minimize")
    state.take_in("t", {"x": 7}, ["--x=7", "--run.dir", str(home / "s"), "--run.name", "t"])
    with locked(home / "s") as lock:
        running = runner.Runner(state, ["t"], slots=[{}], lock=lock)
        running.begin("t", 0)
    process = running.running[0].process
    try:
        with pytest.raises(UserError, match="still trains"), locked(home / "s"):
            pass
        while not (home / "s" / "t" / "waits").exists():
            time.sleep(0.01)
    finally:
        process.terminate()
        process.wait()
    with locked(home / "s"):
        pass


def test_other_options_for_a_trial_that_was_begun_are_refused(home: Path):
    assert command.main([write(home, 1)]) == 0
    with pytest.raises(UserError, match=r"was begun as .* --runs DIR"):
        command.main([write(home, 1), "--", "--trainer.max_epochs=2"])


def test_each_gpu_has_one_trial_at_a_time(home: Path):
    assert command.main([write(home, 1, 2, 3, 4, 5), "--gpus", "1,3"]) == 0
    used = [entry["gpu"] for entries in calls(home).values() for entry in entries]
    assert sorted(set(used)) == ["1", "3"]
    assert len(used) == 5


def test_jobs_share_the_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(THREADS, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert slots_of(jobs=3) == [{THREADS: "2"}] * 3
    assert slots_of(jobs=1) == [{}]
    assert slots_of(gpus=["0", "2"]) == [{GPUS: "0"}, {GPUS: "2"}]
    monkeypatch.setenv(THREADS, "1")
    assert slots_of(jobs=2) == [{}, {}]


def test_a_trial_that_never_logs_the_metric_has_failed(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 1, metric={"name": "val/lost"})]) == 1
    assert "'val/lost'" in capsys.readouterr().out


def test_what_wandb_would_do_otherwise_is_said(home: Path, capsys: pytest.CaptureFixture):
    file = write(home, 1, method="bayes", early_terminate={"type": "hyperband", "min_iter": 1})
    assert command.main([file, "--count", "3", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "at random" in said
    assert "only W&B has early_terminate" in said
    assert "-m vdsm_glass fit --config toy.yaml --x=1 " in said
    assert not (home / "runs").exists()

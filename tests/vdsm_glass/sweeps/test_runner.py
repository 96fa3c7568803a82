"""Trials side by side: what is trained again and what not, who is stopped how, and what is said.

`fit` is stood in for by a script, which starts in a hundredth of the time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from distributed import LocalCluster

from data_modules.common.errors import UserError
from vdsm_glass.commands import sweep as command
from vdsm_glass.sweeps import processes, runner
from vdsm_glass.sweeps.definition import read
from vdsm_glass.sweeps.progress import SweepProgress
from vdsm_glass.sweeps.runner import GPUS, THREADS, logged, slots_of
from vdsm_glass.sweeps.study import JOURNAL, Record, SweepStudy

FIT = """
import json, os, signal, sys, time
from pathlib import Path

options = dict(word.removeprefix("--").split("=") for word in sys.argv[1:] if "=" in word)
home = Path(sys.argv[sys.argv.index("--run.dir") + 1]) / sys.argv[sys.argv.index("--run.name") + 1]
run = home / "latest"
run.mkdir(exist_ok=True)
with (home / "calls.json").open("a") as calls:
    entry = {"argv": sys.argv[1:], "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid()}
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
while x > 100 and not stopped:
    time.sleep(0.01)
sys.exit(143 if stopped else 0)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where the script stands in for `fit`, and its parser for ours."""
    script = tmp_path / "fit.py"
    script.write_text(FIT, encoding="utf-8")
    monkeypatch.setattr(processes, "interpreter_line", lambda words: [sys.executable, "-S", str(script), *words])
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.01)
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


def study(home: Path) -> SweepStudy:
    sweep = read(home / "a.yaml")
    return SweepStudy(sweep, home / "runs" / sweep.name, sweep.trials(count=99))


def records(home: Path) -> dict[float, Record]:
    return {record.values["x"]: record for record in study(home).records()}


def statuses(home: Path) -> dict[float, str]:
    return {x: record.status for x, record in records(home).items()}


def calls(home: Path) -> dict[float, list[dict]]:
    """How often, and how, each trial was trained."""
    found = {}
    for file in (home / "runs" / "sweeps" / "a").glob("*/calls.json"):
        entries = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        (x,) = (word.partition("=")[2] for word in entries[0]["argv"] if word.startswith("--x="))
        found[float(x)] = entries
    return found


def test_what_is_done_is_not_trained_again_and_what_failed_is(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 3, 13, 1)]) == 1
    said = capsys.readouterr().out
    assert statuses(home) == {3: "done", 13: "failed", 1: "done"}
    assert (records(home)[1].last, records(home)[1].best) == (1, 0)
    log = next((home / "runs" / "sweeps" / "a").glob("x_13-*/log.txt"))
    assert f"failed with code 2; see {log.relative_to(home)}" in said
    assert "cannot train this" in log.read_text("utf-8")
    # Best first, those without a number last.
    rows = [line for line in said.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["1", "3", "13"]
    assert (home / "runs" / "sweeps" / "a" / "sweep.png").is_file()
    assert command.main([write(home, 3, 13, 1, 2)]) == 1
    assert {x: len(entries) for x, entries in calls(home).items()} == {3: 1, 13: 2, 1: 1, 2: 1}
    argv = calls(home)[13][0]["argv"]
    assert argv[argv.index("--run.name") + 1].startswith("sweeps/a/x_13-")
    assert argv[argv.index("--ckpt_path") + 1] == "last"


def test_more_is_better_where_the_file_says_so(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 3, 5, 4, goal="maximize")]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["5", "4", "3"]
    assert records(home)[5].best == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_lets_trials_save_themselves_and_goes_on(number: int, home: Path):
    def stop() -> None:
        folder = home / "runs" / "sweeps" / "a"
        while not list(folder.glob("*/waits")):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    assert command.main([write(home, 7, 1)]) == 128 + number
    assert statuses(home) == {7: "stopped", 1: "waiting"}
    assert command.main([write(home, 7, 1)]) == 0
    assert statuses(home) == {7: "done", 1: "done"}
    assert {x: len(entries) for x, entries in calls(home).items()} == {7: 2, 1: 1}


SHARED = """
import sys, types
sys.modules["vdsm_glass.sweeps.check"] = types.SimpleNamespace(check=lambda *_: None)
from vdsm_glass.commands import sweep as command
from vdsm_glass.sweeps import processes, runner
processes.interpreter_line = lambda words: [sys.executable, "-S", "fit.py", *words]
processes.POLL_SECONDS = runner.LOOK_SECONDS = 0.05
sys.exit(command.main(sys.argv[1:]))
"""


def another(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The same command in another process."""
    return subprocess.Popen([sys.executable, "-c", SHARED, *arguments], cwd=home)


def wait_for(home: Path, pattern: str) -> None:
    while not list((home / "runs" / "sweeps" / "a").glob(pattern)):
        time.sleep(0.01)


@pytest.mark.parametrize("method", ["grid", "bayes"])
def test_two_processes_train_every_trial_once(method: str, home: Path):
    file = write(home, *range(20, 32), method=method)
    if method == "bayes":
        file = write(home, method=method, parameters={"x": {"min": 20.0, "max": 32.0}})
    arguments = [file, "--jobs", "2", "--count", "12"]
    others = [another(home, *arguments) for _ in range(2)]
    assert [other.wait() for other in others] == [0, 0]
    assert [len(entries) for entries in calls(home).values()] == [1] * 12
    # A process that finds all done trains nothing.
    assert command.main(arguments) == 0
    assert [len(entries) for entries in calls(home).values()] == [1] * 12


def test_the_trial_of_a_killed_process_is_trained_again_once_nothing_trains_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    killed = another(home, write(home, 7, 1))
    wait_for(home, "*/waits")
    killed.kill()
    killed.wait()
    assert statuses(home) == {7: "running", 1: "waiting"}, "it outlives the process that began it"
    said = []

    def say(_: SweepProgress, text: str) -> None:
        said.append(text)
        if text.startswith("waiting for what other processes train: x_7-"):
            assert {x: len(entries) for x, entries in calls(home).items()} == {7: 1, 1: 1}
            os.kill(calls(home)[7][0]["pid"], signal.SIGTERM)

    monkeypatch.setattr(SweepProgress, "say", say)
    assert command.main([str(home / "a.yaml")]) == 0
    assert any(text.endswith(": goes on") for text in said)
    assert statuses(home) == {7: "done", 1: "done"}
    assert {x: len(entries) for x, entries in calls(home).items()} == {7: 2, 1: 1}


@pytest.mark.parametrize("more", [[], ["--jobs", "1"], ["--resources", "GPU=2"]])
def test_trials_run_on_a_cluster(more: list[str], home: Path, capsys: pytest.CaptureFixture):
    """One at a time where they take both GPUs, and four otherwise."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, resources={"GPU": 2}, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        cluster.wait_for_workers(2)
        assert command.main([write(home, 1, 2, 13, 4), "--cluster", cluster.scheduler_address, *more]) == 1
    assert statuses(home) == {1: "done", 2: "done", 13: "failed", 4: "done"}
    said = [line for line in capsys.readouterr().out.splitlines() if line.endswith(": begins") or line.startswith("[")]
    at_once = {"": 4, "--jobs": 1, "--resources": 2}["".join(more[:1])]
    assert all(line.endswith(": begins") for line in said[:at_once])
    assert said[at_once].startswith("[1/4]")


def test_a_trial_of_a_worker_that_was_killed_is_trained_once_and_to_its_end(home: Path):
    """Its process outlives the worker; the one that repeats the call waits for it."""
    script = "import os, sys; from distributed.cli import dask_worker; dask_worker.main(sys.argv[1:])"
    write(home, 7)
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp") as cluster:
        address = cluster.scheduler_address

        def worker() -> subprocess.Popen[bytes]:
            begin = SHARED.partition("sys.exit")[0] + script
            return subprocess.Popen([sys.executable, "-c", begin, address, "--no-nanny", "--no-dashboard"], cwd=home)

        with worker() as first, another(home, "a.yaml", "--cluster", address, "--jobs", "1") as sweep:
            wait_for(home, "*/waits")
            first.kill()
            with worker() as second:
                time.sleep(1)
                assert len(calls(home)[7]) == 1
                os.kill(calls(home)[7][0]["pid"], signal.SIGTERM)
                assert sweep.wait() == 0
                second.terminate()
    assert statuses(home) == {7: "done"}
    assert len(calls(home)[7]) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--cluster", "tcp://a:1", "--gpus", "0"], "--resources GPU=1"), (["--resources", "GPU=1"], "with --cluster")],
)
def test_options_of_a_cluster_are_for_a_cluster(more: list[str], said: str, home: Path):
    with pytest.raises(UserError, match=said):
        command.main([write(home, 1), *more])


def test_a_trial_that_nobody_holds_was_killed_and_goes_on(home: Path, capsys: pytest.CaptureFixture):
    write(home, 1, 2)
    taken = study(home).take()
    assert statuses(home) == {1: "running", 2: "waiting"}
    os.close(taken.held)
    assert statuses(home) == {1: "stopped", 2: "waiting"}
    assert command.main([str(home / "a.yaml")]) == 0
    assert f"{taken.trial.name}: goes on" in capsys.readouterr().out
    assert statuses(home) == {1: "done", 2: "done"}


def test_a_grid_is_trained_whole_and_once(home: Path):
    parameters = {"x": {"values": [1, 2, 2]}, "y": {"min": 3, "max": 5}, "z": {"values": [[[0, 1.5]], None]}}
    assert command.main([write(home, parameters=parameters), "--jobs", "3"]) == 0
    found = [record.values for record in study(home).records()]
    wanted = [{"x": x, "y": y, "z": z} for x in (1, 2) for y in (3, 4, 5) for z in ([[0, 1.5]], None)]
    assert len(found) == len(wanted)
    assert all(values in found for values in wanted)
    assert all(len(lines.read_text("utf-8").splitlines()) == 1 for lines in home.glob("runs/sweeps/a/*/calls.json"))


def test_bayes_learns_from_results_and_ends_at_its_count(home: Path):
    file = write(home, method="bayes", parameters={"x": {"min": 20.0, "max": 60.0}})
    assert command.main([file, "--count", "12"]) == 0
    assert command.main([file, "--count", "24"]) == 0
    xs = list(calls(home))
    assert len(xs) == 24
    # Where it draws at random, half of them lie below 40: 9 of 10 for one in 2000.
    late = [x for trial in study(home).study.trials[-10:] for x in trial.params.values()]
    assert sum(x < 40 for x in late) >= 9


def test_poor_trials_are_ended_early_where_the_file_says_so(home: Path, capsys: pytest.CaptureFixture):
    early = {"type": "hyperband", "min_iter": 2, "eta": 2}
    assert command.main([write(home, 5, 109, 1, early_terminate=early)]) == 0
    assert statuses(home) == {5: "done", 109: "pruned", 1: "done"}
    assert "ended early" in capsys.readouterr().out
    assert command.main([write(home, 5, 109, 1, early_terminate=early)]) == 0
    assert {x: len(entries) for x, entries in calls(home).items()} == {5: 1, 109: 1, 1: 1}


def test_what_matters_is_said(home: Path, capsys: pytest.CaptureFixture):
    parameters = {"x": {"values": [1, 2, 3, 4]}, "no": {"values": [1, 2, 3]}, "fixed": {"value": 1}}
    assert command.main([write(home, parameters=parameters), "--jobs", "4"]) == 0
    assert "importance: x 100%, no 0%" in capsys.readouterr().out


def test_a_row_that_is_being_written_is_not_read(tmp_path: Path):
    file = tmp_path / "metrics.csv"
    assert logged(file, "val/loss") == []
    file.write_text("step,val/loss\n1,0.5\n2,\n3,0.25\n4,0.1", encoding="utf-8")
    assert logged(file, "val/loss") == [0.5, 0.25]


def test_a_file_that_is_no_journal_is_named(home: Path):
    file = home / "runs" / "sweeps" / "a" / JOURNAL
    file.parent.mkdir(parents=True)
    file.write_text("{}\nnothing\n{}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"study\.journal: this is not a sweep's journal"):
        command.main([write(home, 1)])


def test_options_come_before_a_trials_own_values(home: Path):
    assert command.main([write(home, 1), "--", "--data.root=d"]) == 0
    argv = calls(home)[1][0]["argv"]
    assert argv.index("--data.root=d") < argv.index("--x=1")


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


def test_a_dry_run_prints_what_would_be_trained(home: Path, capsys: pytest.CaptureFixture):
    assert command.main([write(home, 1, method="bayes"), "--count", "3", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "at random" in said
    assert "-m vdsm_glass fit --config toy.yaml --x=1 " in said
    assert not (home / "runs").exists()

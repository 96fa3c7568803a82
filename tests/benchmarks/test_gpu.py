"""`make gpu`: it goes on after what fails, hangs or is killed, keeps to its time, and its rehearsal runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu import ENDED, Part, run_all

TICK = "open({file!r}, 'a').write('.')"


def python(name: str, code: str, *, seconds: float = 60, needs: tuple[str, ...] = ()) -> Part:
    return Part(name, (sys.executable, "-c", code), seconds, needs)


def test_it_goes_on_after_what_fails_and_leaves_out_what_needs_it(tmp_path: Path):
    parts = [
        python("bad", "print('said before', flush=True); 1 / 0"),
        python("after_bad", "print('never')", needs=("bad",)),
        python("good", "print('well')"),
        python("after_good", "print('too')", needs=("good",)),
    ]
    ended = run_all(parts, tmp_path, seconds=60)
    assert {name: each["status"] for name, each in ended.items()} == {
        "bad": "failed",
        "after_bad": "left out",
        "good": "done",
        "after_good": "done",
    }
    log = (tmp_path / "bad" / "log.txt").read_text("utf-8")
    assert "said before" in log
    assert "ZeroDivisionError" in log
    assert not (tmp_path / "after_bad").exists()


@pytest.mark.thorough
def test_a_part_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "GRACE", 0.5)
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "made = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(child)!r}, 'w').write(str(made.pid)); time.sleep(600)"
    )
    began = time.monotonic()
    ended = run_all([python("hangs", code, seconds=5), python("next", "pass")], tmp_path, seconds=100)
    assert [each["status"] for each in ended.values()] == ["out of time", "done"]
    assert time.monotonic() - began < 60
    pid = int(child.read_text())
    for _ in range(100):
        # What nobody waits for stays as a zombie until init takes it.
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("the child lives")


def test_the_time_of_all_parts_is_kept(tmp_path: Path):
    parts = [python("long", "import time; time.sleep(30)", seconds=60), python("late", "pass")]
    ended = run_all(parts, tmp_path, seconds=1)
    assert [each["status"] for each in ended.values()] == ["out of time", "left out"]
    assert "1 s are over" in ended["late"]["why"]


def test_the_same_command_repeats_what_failed_or_was_cut_off_and_nothing_else(tmp_path: Path):
    parts = [python(name, TICK.format(file=str(tmp_path / f"{name}.txt"))) for name in ("one", "two", "three")]
    parts[1] = python("two", TICK.format(file=str(tmp_path / "two.txt")) + "; 1 / 0")
    run_all(parts, tmp_path, seconds=60)
    (tmp_path / "three" / ENDED).unlink()  # as if it had been killed
    ended = run_all(parts, tmp_path, seconds=60)
    assert [each["status"] for each in ended.values()] == ["done", "failed", "done"]
    assert [(tmp_path / f"{name}.txt").read_text() for name in ("one", "two", "three")] == [".", "..", ".."]


def test_steps_stand_beside_the_longer_one_of_both_floors(tmp_path: Path):
    rows = {
        "floor": [
            {"what": "fp32", "tflop_per_s": 2.0, "gb_per_s": None},
            {"what": "bf16", "tflop_per_s": 20.0, "gb_per_s": None},
            {"what": "memory", "tflop_per_s": None, "gb_per_s": 100.0},
        ],
        "vdsm": [
            {"stage": "pretrain", "way": "fp32", "median_s_per_step": 0.02, "gflop": 20.0, "gigabytes": 0.2},
            {"stage": "pretrain", "way": "bf16", "median_s_per_step": 0.02, "gflop": 20.0, "gigabytes": 0.2},
        ],
    }
    for name, results in rows.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps({"results": results}))
    found = gpu.against_the_floor(tmp_path)
    assert [each["floor_ms"] for each in found] == [10.0, 2.0]
    assert [each["times_the_floor"] for each in found] == [2.0, 10.0]
    assert [each["step"] for each in found] == ["vdsm pretrain"] * 2


def test_one_part_of_the_rehearsal_runs_and_is_summed_up(tmp_path: Path):
    assert gpu.main(["--rehearse", "--only", "floor", "--out", str(tmp_path)]) == 0
    assert "| floor | done |" in (tmp_path / "summary.md").read_text("utf-8")
    assert json.loads((tmp_path / "floor" / "results.json").read_text())["hardware"]["device"] == "cpu"
    with pytest.raises(SystemExit):
        gpu.main(["--rehearse", "--only", "flor", "--out", str(tmp_path)])


def test_the_plan_fits_into_its_time_and_uses_the_gpu(tmp_path: Path):
    class Arguments:
        out, rehearse, data, sheets, background = tmp_path, False, Path("data"), Path("sheets"), Path("hills.png")

    parts = gpu.parts_of(Arguments())  # pyright: ignore[reportArgumentType]
    assert sum(part.seconds for part in parts) <= 1500 + 200  # trainings seldom need their limits
    assert all("cuda" in part.command for part in parts if "benchmarks" in part.command[2])
    assert {"vdsm_graph", "glass_compiled", "sprites_export", "glass_export"} <= {part.name for part in parts}


@pytest.mark.thorough
def test_the_whole_rehearsal_runs(tmp_path: Path):
    assert gpu.main(["--rehearse", "--out", str(tmp_path / "out"), "--data", str(tmp_path / "data")]) == 0
    for made in ("exported_vdsm", "exported_glass"):
        assert (tmp_path / "out" / made / "weights.safetensors").is_file()
    assert "| vdsm pretrain | fp32 |" in (tmp_path / "out" / "summary.md").read_text("utf-8")


def test_a_killed_session_leaves_no_mark_of_the_part_that_it_was_at(tmp_path: Path):
    code = (
        "from pathlib import Path; import sys; from benchmarks.gpu import Part, run_all;"
        "run_all([Part('long', (sys.executable, '-c', 'import time; time.sleep(10)'), 600)],"
        f" Path({str(tmp_path)!r}), seconds=600)"
    )
    session = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "long" / "log.txt").is_file():
        assert session.poll() is None
        time.sleep(0.1)
    session.kill()
    assert session.wait(60) != 0
    assert not (tmp_path / "long" / ENDED).exists()

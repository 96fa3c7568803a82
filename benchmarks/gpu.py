"""All that one GPU is to be asked, in 25 minutes: speed against the floor, VDSM's full Sprites schedule, GLASS.

    make gpu [ARGS="--out runs/gpu --sheets DIR --background FILE"]
    make gpu ARGS=--rehearse          the same with tiny sizes on a CPU

Every part is a process with a time limit of its own and its output in OUT/NAME/log.txt. One that fails or runs out of
time does not stop the next. What is there afterwards: JSON of the benchmarks, the runs with their pictures, exported
models, summary.json and summary.md. After a kill the same command goes on: it repeats what failed and what was cut off,
and trainings resume. To begin again, take the folder away.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import common
from data_modules.common.files import write_json
from vdsm_glass.published_weights import WEIGHTS, places

ENDED = "ended.json"
REHEARSAL = 10
"""How much longer everything may take on a CPU, however busy it is."""
GRACE = 20.0
"""Seconds that a part has after SIGTERM, in which a training writes its checkpoint."""
EXPERIMENTS = Path("experiments")
RUNS = "runs"
LAST = Path("latest/checkpoints/last.ckpt")


@dataclass(frozen=True)
class Part:
    """A command.  Args: seconds, its limit; needs, parts without whose success it makes no sense."""

    name: str
    command: tuple[str, ...]
    seconds: float
    needs: tuple[str, ...] = ()


def run(part: Part, folder: Path, *, seconds: float) -> dict[str, Any]:
    """Runs a part for at most so long.  Returns: status (done, failed, out of time), its exit code, its seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(part.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        status = ""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = "out of time"
        finally:
            if process.poll() is None:  # its own children are in its group
                end(process)
    status = status or ("failed" if process.returncode else "done")
    return {"status": status, "exit_code": process.returncode, "seconds": round(time.monotonic() - began, 1)}


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks the process and its children to stop, and kills what has not after a while."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_all(parts: Sequence[Part], out: Path, *, seconds: float) -> dict[str, dict[str, Any]]:
    """Runs the parts that have not ended yet or failed, one after the other; the time of those that ended counts.

    Returns: what `run` says of each, or `left out` and why.
    """
    ended: dict[str, dict[str, Any]] = {}
    for part in parts:
        mark = out / part.name / ENDED
        if mark.is_file() and (before := json.loads(mark.read_text("utf-8")))["status"] != "failed":
            ended[part.name] = before
            continue
        missing = [name for name in part.needs if ended[name]["status"] not in ("done", "out of time")]
        left = seconds - sum(each.get("seconds", 0) for each in ended.values())
        if missing or left <= 0:
            reason = f"needs {', '.join(missing)}" if missing else f"{seconds:.0f} s are over"
            ended[part.name] = {"status": "left out", "why": reason}
            continue
        print(f"{part.name}: {' '.join(part.command)}", flush=True)
        ended[part.name] = run(part, mark.parent, seconds=min(part.seconds, left))
        write_json(ended[part.name] | {"command": part.command}, mark)
    return ended


def parts_of(args: argparse.Namespace) -> list[Part]:
    """The whole plan."""
    out = args.out
    device, longer = ("cpu", REHEARSAL) if args.rehearse else ("cuda", 1)

    def benchmark(name: str, seconds: float, *options: str, way: str = "plain", tiny: str = "") -> Part:
        part = name if way == "plain" else f"{name}_{way}"
        more = (*options, *(("--way", way) if name != "floor" else ()), *(tiny.split() if args.rehearse else ()))
        file = str(out / part / "results.json")
        return Part(
            part, (sys.executable, "-m", f"benchmarks.{name}", "--device", device, "--out", file, *more), seconds
        )

    def program(name: str, seconds: float, *options: str, needs: tuple[str, ...] = ()) -> Part:
        return Part(name, (sys.executable, "-m", "vdsm_glass", *options), longer * seconds, needs)

    def trained(name: str, word: str, recipe: str, seconds: float, *options: str, needs: tuple[str, ...] = ()) -> Part:
        files = [f"{recipe}.yaml"]
        if args.rehearse:
            files += [f"smoke/narrow_{recipe.split('/')[0]}.yaml", "smoke/run.yaml"]
        configs = [option for file in files for option in ("--config", str(EXPERIMENTS / file))]
        data = ["--data.root", str(args.data), *(("--data.sheets", str(args.sheets)) if args.sheets else ())]
        where = ["--run.dir", str(out / RUNS), "--ckpt_path", "last"]
        return program(name, seconds, word, *configs, *data, *where, *options, needs=needs)

    vdsm = "--batch 2 --frames 2 --experts 2 --width 0.1 --repeats 1"
    glass = "--batch 2 --frames 3 --height 64 --width 80 --repeats 1 --perceptual random"
    pretrain, sequence, w_sprites = "vdsm/sprites_pretrain", "vdsm/sprites_sequence", "glass/w_sprites"
    first, second, third = (str(out / RUNS / recipe / LAST) for recipe in (pretrain, sequence, w_sprites))
    seen = any(place.is_file() for place in places(WEIGHTS["vgg19"].name))
    own = [] if seen or args.rehearse else ["--model.perceptual", "random"]
    own += ["--data.background", str(args.background)] if args.background else []
    fast = [] if args.rehearse else ["--trainer.precision", "bf16-mixed"]
    ways = [way for way in common.WAYS if way == "plain" or not args.rehearse]
    return [
        benchmark("floor", 40, tiny="--side 64 --megabytes 1"),
        *(benchmark("vdsm", 80, "--no-loop", way=way, tiny=vdsm) for way in ways),
        *(benchmark("glass", 100, way=way, tiny=glass) for way in ways),
        trained("sprites_pretrain", "fit", pretrain, 300),
        trained("sprites_sequence", "fit", sequence, 200, "--model.pretrained", first, needs=("sprites_pretrain",)),
        trained("sprites_test", "test", sequence, 70, "--model.pretrained", first, needs=("sprites_sequence",)),
        program("sprites_export", 30, "export", second, str(out / "exported_vdsm"), needs=("sprites_sequence",)),
        trained("glass_train", "fit", w_sprites, 300, *own, *fast, "--trainer.max_time", "00:00:04:20"),
        trained("glass_test", "test", w_sprites, 60, *own, needs=("glass_train",)),
        program("glass_export", 30, "export", third, str(out / "exported_glass"), needs=("glass_train",)),
    ]


def against_the_floor(out: Path) -> list[dict[str, Any]]:
    """Each timed step beside the least that this device could take for it; empty where nothing was timed.

    The least is the longer one of its multiplications at the measured rate of its precision, and its bytes at the
    measured bandwidth.
    """
    measured = {file.parent.name: json.loads(file.read_text("utf-8")) for file in sorted(out.glob("*/results.json"))}
    if "floor" not in measured:
        return []
    best = {each["what"]: each["tflop_per_s"] or each["gb_per_s"] for each in measured.pop("floor")["results"]}
    rows = []
    for name, found in measured.items():
        for each in found["results"]:
            rate = 1e3 * best["bf16" if each["way"].startswith("bf16") else "fp32"]
            least = max(each["gflop"] / max(rate, 1e-9), each["gigabytes"] / max(best["memory"], 1e-9))
            rows.append(
                {
                    "step": f"{name.split('_')[0]} {each.get('stage') or each['phase']}",
                    "way": each["way"],
                    "ms": round(1e3 * each["median_s_per_step"], 2),
                    "floor_ms": round(1e3 * least, 3),
                    "times_the_floor": round(each["median_s_per_step"] / least, 1) if least else None,
                }
            )
    return rows


def summarise(ended: dict[str, dict[str, Any]], out: Path) -> None:
    """Writes and prints what became of each part, and the steps beside the floor."""
    status = [
        {"part": name, "status": each["status"], "seconds": each.get("seconds"), "why": each.get("why")}
        for name, each in ended.items()
    ]
    steps = against_the_floor(out)
    write_json({"parts": status, "steps": steps}, out / "summary.json")
    lines: list[str] = []
    for title, rows in (("Parts", status), ("Steps", steps)):
        if rows:
            common.show(rows, title=title)
            head = list(rows[0])
            cells = [head, ["---"] * len(head), *([str("" if v is None else v) for v in row.values()] for row in rows)]
            lines += [f"## {title}", "", *(f"| {' | '.join(row)} |" for row in cells), ""]
    (out / "summary.md").write_text("\n".join(lines), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the plan.  Returns: 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder; runs/gpu by default, runs/gpu-rehearsal to rehearse")
    parser.add_argument("--seconds", type=float, default=1500, help="for everything; 1500 by default")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--only", nargs="+", metavar="PART", help="these parts, and not what they need")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of data sets")
    parser.add_argument("--sheets", type=Path, help="LPC sheets; otherwise those in the data folder, or drawn ones")
    parser.add_argument("--background", type=Path, help="picture behind W-Sprites; by default a drawn one")
    args = parser.parse_args(argv)
    args.out = args.out or Path("runs/gpu-rehearsal" if args.rehearse else "runs/gpu")
    parts = parts_of(args)
    if args.only:
        if unknown := set(args.only) - {part.name for part in parts}:
            parser.error(f"no part {', '.join(unknown)}; there are {', '.join(part.name for part in parts)}")
        parts = [Part(part.name, part.command, part.seconds) for part in parts if part.name in args.only]
    ended = run_all(parts, args.out, seconds=args.seconds * (REHEARSAL if args.rehearse else 1))
    summarise(ended, args.out)
    print(f"{args.out}: summary.md, and of each part log.txt")
    return int(any(each["status"] == "failed" for each in ended.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # the part that is running ends, too
    sys.exit(main())

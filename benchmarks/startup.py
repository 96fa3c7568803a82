"""Time until every command has said its help, or what is wrong with an option, in a process of its own.

    python -m benchmarks.startup [--repeats 5]

The goal is 2 s on an idle core. `PYTHONDONTWRITEBYTECODE=1` and a fresh environment show what a container costs, where
bytecode is there only if the installation has compiled it. The last row is what training imports.
"""

import argparse
import os
import subprocess
import sys
import time
from statistics import median

import torch

from benchmarks import common
from vdsm_glass.cli import COMMANDS

GOAL = 2.0
RECIPE = "experiments/vdsm/sprites_pretrain.yaml"
PROGRAM = ["-m", "vdsm_glass"]
LINES = {
    **{f"{command} --help": [*PROGRAM, command, "--help"] for command in COMMANDS},
    "prepare folder --help": [*PROGRAM, "prepare", "folder", "--help"],
    "generate swap --help": [*PROGRAM, "generate", "swap", "--help"],
    "prepare folder --nonsense 3": [*PROGRAM, "prepare", "folder", "--nonsense", "3"],
    "score a b --metrics nonsense": [*PROGRAM, "score", "a", "b", "--metrics", "nonsense"],
    "fit --trainer.nonsense 3": [*PROGRAM, "fit", "--config", RECIPE, "--trainer.nonsense", "3"],
    "fit --model.nonsense 3": [*PROGRAM, "fit", "--config", RECIPE, "--model.nonsense", "3"],
    "fit --help=all": [*PROGRAM, "fit", "--help=all"],
    "what training imports": ["-c", "import vdsm_glass.commands.train"],
}
WHOLE = ("fit --help=all", "what training imports")
"""What needs Lightning, and is here for comparison."""


def run(words: list[str]) -> common.Timing:
    """Seconds that a process of Python takes, on the clock and of the CPU."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return common.Timing(wall=time.perf_counter() - start, cpu=usage.ru_utime + usage.ru_stime)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    times: dict[str, list[common.Timing]] = {line: [] for line in LINES}
    for words in LINES.values():
        run(words)  # from the disk into memory
    for _ in range(options.repeats):
        for line, words in LINES.items():
            times[line].append(run(words))
    results = [
        {
            "command": line,
            "wall_s": round(median(each.wall for each in found), 2),
            "cpu_s": round(median(each.cpu for each in found), 2),
            "goal_s": None if line in WHOLE else GOAL,
        }
        for line, found in times.items()
    ]
    common.show(results, title="start")
    settings = {"repeats": options.repeats, "bytecode_is_written": not sys.dont_write_bytecode}
    common.write_results(
        common.RESULTS / "startup-cpu.json", device=torch.device("cpu"), settings=settings, results=results
    )


if __name__ == "__main__":
    main()

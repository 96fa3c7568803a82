"""What a fault may cost: runs killed, disks full, files damaged, many on the page at once.

    python -m benchmarks.faults inputs --count 100000 [--seed 0]
    python -m benchmarks.faults kills  --count 200    [--seed 0]
    python -m benchmarks.faults limits
    python -m benchmarks.faults play   --count 20 --minutes 60

Each writes `benchmarks/results/faults-NAME.json` and keeps notes in a folder, --state, from which it goes on after a
kill; remove that to begin anew. The exit code is 1 where a goal was missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks import common

SIZES = {"inputs": 100_000, "kills": 200, "limits": 5, "play": 20}


def main() -> None:
    """One of the harnesses."""
    parser = argparse.ArgumentParser(description="What a fault may cost.")
    parser.add_argument("harness", choices=SIZES)
    parser.add_argument("--count", type=int, help="of inputs, kills or clients")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=int, default=60, help="of `play`")
    parser.add_argument("--state", type=Path, help="a folder for notes; one in the temporary folder by default")
    options = parser.parse_args()
    count = options.count or SIZES[options.harness]
    folder = options.state or Path(tempfile.gettempdir()) / f"vdsm-glass-faults-{options.harness}-{options.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn(options.harness), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    module = import_module(f"benchmarks.fault_{options.harness}")
    with Progress(*columns) as bar:
        task = bar.add_task(options.harness, total=count)
        more = {"minutes": options.minutes} if options.harness == "play" else {}
        result = module.run(
            count, options.seed, folder / "notes", lambda done: bar.update(task, completed=done), **more
        )
    settings = {"count": count, "seed": options.seed, **more}
    out = common.RESULTS / f"faults-{options.harness}.json"
    common.write_results(out, device=torch.device("cpu"), settings=settings, results=[result])
    print(f"{options.harness}: {result['wrong']} wrong of {count}; {out}")
    for each in result.get("kinds", []):
        print(f"  {each}")
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()

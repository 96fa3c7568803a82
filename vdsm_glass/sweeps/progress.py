"""The progress of a sweep's trials: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from vdsm_glass.runs import CONFIG, LATEST

LOOK_SECONDS = 1.0
METRICS = "metrics.csv"
TAIL_BYTES = 1 << 16


class SweepProgress:
    """A context manager that shows a bar for the sweep and one for each running trial, which counts its epochs.

    Where the console is not a terminal there are no bars, only the lines given to `say`.

    Args:
        folder: the sweep's, with a folder for every trial.
        trials: the number of trials to train.
        console: standard output by default.
    """

    def __init__(self, folder: Path, *, trials: int, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.all = self.progress.add_task(folder.name, total=trials, at=f"trial 0/{trials}")
        self.trials = trials
        self.bars: dict[str, TaskID] = {}
        self._next_look = 0.0

    def __enter__(self) -> SweepProgress:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """Prints a line above the bars, and flushes it if the output is a file."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.console.file.flush()

    def show(self, training: Sequence[str], ended: int) -> None:
        """Updates the bars; called often.  Args: training, names of the running trials; ended, how many have ended."""
        if self.progress.disable or (set(training) == set(self.bars) and time.monotonic() < self._next_look):
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        self.progress.update(self.all, completed=ended, at=f"trial {ended}/{self.trials}")
        for name in [name for name in self.bars if name not in training]:
            self.progress.remove_task(self.bars.pop(name))
        for name in training:
            if name not in self.bars:
                self.bars[name] = self.progress.add_task(f"  {name}", total=None, at="starts")
            if (reached := epochs(self.folder / name / LATEST)) is not None:
                done, total = reached
                self.progress.update(
                    self.bars[name], completed=done, total=total, at=f"epoch {done}" + (f"/{total}" if total else "")
                )


def epochs(run: Path) -> tuple[int, int | None] | None:
    """The epochs that a run has done, from metrics.csv, and will do, from config.yaml if it sets a number.

    None before the run has logged anything.
    """
    config, row = run / CONFIG, last_row(run / METRICS)
    if not row.get("epoch") or not config.is_file():
        return None
    trainer = (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("trainer") or {}
    total = trainer.get("max_epochs")
    return int(float(row["epoch"])), total if isinstance(total, int) and total > 0 else None


def last_row(file: Path) -> dict[str, str]:
    """The last complete row of a CSV file that is being written; empty if there is none yet."""
    if not file.is_file():
        return {}
    with file.open("rb") as stream:
        header = stream.readline()
        stream.seek(max(len(header), file.stat().st_size - TAIL_BYTES))
        # What follows the last newline is incomplete. A row cut off at the start of the tail is not the last.
        lines = stream.read().split(b"\n")[:-1]
    return next(csv.DictReader([header.decode(), lines[-1].decode()]), {}) if lines else {}

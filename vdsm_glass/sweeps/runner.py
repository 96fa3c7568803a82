"""Trains trials side by side, here or on a cluster, until all have ended or the user stops them."""

from __future__ import annotations

import csv
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.common.executors import executor
from vdsm_glass.runs import LATEST
from vdsm_glass.sweeps.definition import Trial
from vdsm_glass.sweeps.processes import LOG, SideBySide, ask_to_stop
from vdsm_glass.sweeps.progress import METRICS
from vdsm_glass.sweeps.study import Status, SweepStudy, Taken

LOOK_SECONDS = 1.0
# Codes of `fit` after a signal, or of the signal itself. The system also sends SIGKILL when memory runs out.
STOPPED_CODES = (130, 143, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)
GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@dataclass
class Running:
    """A trial that is being trained.

    Args: folder, the trial's; code, with which its process ends; slot, the index of its slot; began, by the monotonic
        clock; reported, how many values of the metric the study has; last, the last of them; pruned, whether it was
        told to end early; next_look, when its metric is read again.
    """

    taken: Taken
    folder: Path
    code: Future[int]
    slot: int
    began: float
    reported: int = 0
    last: float = math.nan
    pruned: bool = False
    next_look: float = 0.0

    @property
    def name(self) -> str:
        """The trial's."""
        return self.taken.trial.name


class Runner(SideBySide):
    """Trains a study's trials.

    Args: study, which gives trials and keeps their results; words, a trial's command line behind `python -m
        vdsm_glass`; total, the number of trials that there are to train; others, as `SideBySide`.
    """

    def __init__(
        self, study: SweepStudy, words: Callable[[Trial], Sequence[str]], *, total: int, **others: Any
    ) -> None:
        super().__init__(**others)
        self.study, self.words, self.total = study, words, total
        self.more, self._next_look, self._said = True, 0.0, False

    def run(self) -> int:
        """Trains all, and waits for those that other processes train, to take over what these leave.

        Returns: 0 if each trial ended, 1 if one failed, 130 or 143 if the user stopped them.
        """
        self.run_all()
        return self.stopped or int(any(each.status not in ("done", "pruned") for each in self.study.records()))

    def waits(self) -> bool:
        return self.more

    def fill(self, free: list[int]) -> None:
        while free and time.monotonic() >= self._next_look:
            if (taken := self.study.take()) is not None:
                slot, again = free.pop(0), "goes on" if taken.again else "begins"
                folder = self.study.folder / taken.trial.name
                code = self.begin(self.words(taken.trial), folder, slot)
                self.running.append(Running(taken, folder, code, slot, time.monotonic()))
                where = f" on GPU {self.slots[slot][GPUS]}" if GPUS in self.slots[slot] else ""
                self.say(f"{taken.trial.name}: {again}{where}")
                continue
            self._next_look = time.monotonic() + LOOK_SECONDS
            elsewhere, self.more = self.study.elsewhere, bool(self.study.elsewhere)
            if self.more and not self.running and not self._said:
                self._said = True
                self.say(f"waiting for what other processes train: {', '.join(elsewhere)}")

    def look_at(self, each: Running) -> None:
        """Reports what a trial has measured; ends it if it is poor; records it if it has ended."""
        code = each.code.result() if each.code.done() else None
        if code is None and time.monotonic() < each.next_look:
            return
        each.next_look = time.monotonic() + LOOK_SECONDS
        for value in logged(each.folder / LATEST / METRICS, self.study.sweep.metric)[each.reported :]:
            each.reported, each.last = each.reported + 1, value
            each.taken.asked.report(value, each.reported)
            if not each.pruned and each.taken.asked.should_prune():
                each.pruned = True
                ask_to_stop(each.folder, signal.SIGTERM)
        if code is None:
            return
        self.running.remove(each)
        status = self.status_of(each, code)
        seconds = time.monotonic() - each.began
        self.study.end(each.taken, status, seconds=seconds, last=each.last)
        self.ended += 1
        self.say(f"[{self.ended}/{self.total}] {each.name}: {self.fate(each, status, code, seconds)}")

    def status_of(self, each: Running, code: int) -> Status:
        """How a trial ended: a trial without a result has failed."""
        if code == 0:
            return "failed" if math.isnan(each.last) else "done"
        return "failed" if code not in STOPPED_CODES else "pruned" if each.pruned else "stopped"

    def fate(self, each: Running, status: Status, code: int, seconds: float) -> str:
        """Describes how a trial ended."""
        metric = self.study.sweep.metric
        if status in ("done", "pruned"):
            words = "ended early" if status == "pruned" else "done"
            return f"{words} in {each.taken.seconds + seconds:.0f} s, {metric} {each.last:.5g}"
        if status == "stopped":
            return "stopped; repeat the command to go on"
        if code == 0 and each.reported:
            return f"failed: {metric} is {each.last}"
        if code == 0:
            return f"failed: it trained to its end without {metric!r}; is it ever validated? (check_val_every_n_epoch)"
        return f"failed with code {code}; see {each.folder / LOG}"


def logged(file: Path, metric: str) -> list[float]:
    """The metric's values in a metrics.csv that is being written; empty if there is none yet."""
    if not file.is_file():
        return []
    # What follows the last newline is incomplete.
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [float(row[metric]) for row in csv.DictReader(lines) if row.get(metric)]


@contextmanager
def pool_of(
    *,
    gpus: Sequence[str] = (),
    jobs: int | None = None,
    cluster: str | None = None,
    resources: Mapping[str, float] | None = None,
) -> Iterator[tuple[Executor, Sequence[Mapping[str, str]]]]:
    """What runs `train`, and its slots: `jobs` threads of this process, one for each GPU, or the workers of a cluster.

    Args: jobs, trials at a time; by default one here, and on a cluster as many as it has room for; cluster, resources,
        as `executor`.
    Raises: as `executor`.
    """
    if cluster is not None:
        with executor(jobs, cluster, resources) as (pool, room):
            yield pool, [{}] * room
        return
    slots = slots_of(gpus=gpus, jobs=jobs or 1)
    with ThreadPoolExecutor(len(slots)) as pool:
        yield pool, slots


def slots_of(*, gpus: Sequence[str] = (), jobs: int = 1) -> list[dict[str, str]]:
    """The environment variables of each slot: its GPU, or its share of the processor's cores."""
    if gpus:
        return [{GPUS: gpu} for gpu in gpus]
    if jobs == 1 or THREADS in os.environ:
        return [{} for _ in range(jobs)]
    return [{THREADS: str(max(1, (os.cpu_count() or 1) // jobs))} for _ in range(jobs)]

"""Trains trials side by side, each in a process of its own, until all are done or the user stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from data_modules.common.errors import UserError
from vdsm_glass.report.curves import read_curve
from vdsm_glass.runs import LATEST
from vdsm_glass.sweeps.definition import interpreter_line
from vdsm_glass.sweeps.state import Record, State, Status

LOG = "log.txt"
POLL_SECONDS = 0.2
# Codes of `fit` after a signal, or of the signal itself. The system also sends SIGKILL when memory runs out.
STOPPED_CODES = (130, 143, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)
GPUS = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@dataclass
class Running:
    """A trial that is being trained.  Args: slot, the index of its slot; began, by the monotonic clock."""

    name: str
    process: subprocess.Popen[bytes]
    slot: int
    began: float


class Runner:
    """Trains trials.

    Args:
        state: the sweep's; it is written whenever a trial begins or ends.
        queue: the names of the trials to train.
        slots: a dictionary of environment variables for each trial that runs at the same time.
        lock: a file descriptor that every trial inherits.
        say: takes lines of progress.
        show: is called repeatedly with the names of the running trials and the number that have ended.
    """

    def __init__(
        self,
        state: State,
        queue: Sequence[str],
        *,
        slots: Sequence[dict[str, str]],
        lock: int,
        say: Callable[[str], None] = print,
        show: Callable[[Sequence[str], int], None] | None = None,
    ) -> None:
        self.state, self.queue, self.slots, self.lock = state, list(queue), slots, lock
        self.say, self.show = say, show or (lambda *_: None)
        self.names, self.ended, self._passed_on = tuple(queue), 0, 0
        self.running: list[Running] = []

    def run(self) -> int:
        """Trains all.  Returns: 0 if each came to its end, 1 if one did not, 130 or 143 if the user stopped them."""
        with stop_signals() as asked:
            while self.queue or self.running:
                self.pass_on(asked)
                self.collect()
                free = [n for n in range(len(self.slots)) if n not in {each.slot for each in self.running}]
                for slot in free[: len(self.queue)]:
                    self.begin(self.queue.pop(0), slot)
                self.show([each.name for each in self.running], self.ended)
                time.sleep(POLL_SECONDS)
        if asked:
            return 128 + asked[0]
        return int(any(self.state.trials[name].status != "done" for name in self.names))

    def pass_on(self, asked: list[int]) -> None:
        """Passes signals on to the trials: first SIGTERM, at which `fit` saves its state, then SIGKILL."""
        while len(asked) > self._passed_on:
            self._passed_on += 1
            self.queue.clear()
            if self._passed_on == 1:
                self.say(f"stopping {len(self.running)} trials, which save their state; once more ends them at once")
            for each in self.running:
                each.process.send_signal(signal.SIGTERM if self._passed_on == 1 else signal.SIGKILL)

    def begin(self, name: str, slot: int) -> None:
        """Starts a trial in a new session, so that Ctrl-C in the terminal reaches it only through `pass_on`."""
        record = self.state.trials[name]
        again = record.status != "waiting"
        log = self.folder(name) / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                interpreter_line(record.arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self.slots[slot],
                start_new_session=True,
                pass_fds=[self.lock],
            )
        self.running.append(Running(name, process, slot, time.monotonic()))
        record.status = "running"
        self.state.write()
        self.say(f"{name}: {'goes on' if again else 'begins'}{place(self.slots[slot])}")

    def collect(self) -> None:
        """Records the trials that have ended."""
        for each in [each for each in self.running if each.process.poll() is not None]:
            self.running.remove(each)
            record = self.state.trials[each.name]
            code = record.code = each.process.wait()
            record.seconds = round(record.seconds + time.monotonic() - each.began, 1)
            record.status = status_of(code)
            if record.status == "done":
                self.measure(each.name, record)
            self.state.write()
            self.ended += 1
            self.say(f"[{self.ended}/{len(self.names)}] {each.name}: {self.fate(each.name, record)}")

    def measure(self, name: str, record: Record) -> None:
        """Reads the sweep's metric from the trial's run; a trial without it has failed."""
        try:
            _, values = read_curve(self.folder(name) / LATEST / "metrics.csv", self.state.metric)
        except UserError as error:
            record.status = "failed"
            self.say(f"{name}: {error}")
            return
        record.last = values[-1]
        record.best = min(values) if self.state.goal == "minimize" else max(values)

    def fate(self, name: str, record: Record) -> str:
        """Describes how a trial ended."""
        if record.status == "done":
            return f"done in {record.seconds:.0f} s, {self.state.metric} {record.last:.5g}"
        if record.status == "stopped":
            return "stopped; repeat the command to go on"
        if record.code == 0:
            metric = self.state.metric
            return f"failed: it trained to its end without {metric}; is it ever validated? (check_val_every_n_epoch)"
        return f"failed with code {record.code}; see {self.folder(name) / LOG}"

    def folder(self, name: str) -> Path:
        """The trial's folder."""
        return self.state.folder / name


def status_of(code: int) -> Status:
    """The status that an exit code stands for."""
    return "done" if code == 0 else "stopped" if code in STOPPED_CODES else "failed"


def slots_of(*, gpus: Sequence[str] = (), jobs: int = 1) -> list[dict[str, str]]:
    """The environment variables of each slot: its GPU, or its share of the processor's cores."""
    if gpus:
        return [{GPUS: gpu} for gpu in gpus]
    if jobs == 1 or THREADS in os.environ:
        return [{} for _ in range(jobs)]
    return [{THREADS: str(max(1, (os.cpu_count() or 1) // jobs))} for _ in range(jobs)]


def place(slot: dict[str, str]) -> str:
    """Says on which GPU a trial runs, if on one."""
    return f" on GPU {slot[GPUS]}" if GPUS in slot else ""


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yields a list that collects the numbers of SIGINT and SIGTERM instead of ending the process."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

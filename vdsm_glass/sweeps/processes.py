"""Commands of vdsm-glass in processes of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from types import FrameType
from typing import Any

from data_modules.common.errors import UserError

POLL_SECONDS = 0.2
LOG = "log.txt"
TRAINS = ".trains"
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


def behind_dashes(argv: list[str]) -> tuple[list[str], list[str]]:
    """A command's own words, and those behind `--`, which are for each training."""
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def interpreter_line(words: Sequence[str]) -> list[str]:
    """The command line that runs `vdsm-glass WORDS` in a new process."""
    return [sys.executable, "-m", "vdsm_glass", *words]


def train(words: Sequence[str], folder: Path, home: Path, environment: Mapping[str, str]) -> int:
    """Runs `vdsm-glass WORDS` in a process until it ends, and returns its exit code. This runs on the trial's machine.

    The process holds the lock TRAINS of the trial's folder. One that outlives its sweep, or the worker that began it,
    still holds it, so no second process trains into the same run.

    Args: folder, the trial's, where its log goes and `ask_to_stop` writes; home, where the command runs; environment,
        further variables.
    Raises: UserError, this machine does not see the folders.
    """
    sent: set[signal.Signals] = set()
    try:
        while (held := locked(folder / TRAINS)) is None:
            if asked_to_stop(folder):
                return -signal.SIGTERM
            time.sleep(POLL_SECONDS)
        with (folder / LOG).open("ab") as output, os.fdopen(held):
            # In a new session, so that Ctrl-C in the terminal does not reach it.
            process = subprocess.Popen(
                interpreter_line(words),
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
                pass_fds=[held],
            )
    except OSError as error:
        raise UserError(
            f"{folder} cannot be trained on {gethostname()}: {error}. All machines must see this folder and {home}."
        ) from error
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            for number in asked_to_stop(folder) - sent:
                process.send_signal(number)
                sent.add(number)


def locked(file: Path) -> int | None:
    """A file descriptor that holds the lock of a file; None if another process holds it."""
    held = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held


def ask_to_stop(folder: Path, number: signal.Signals) -> None:
    """Has the trial of a folder sent SIGTERM or SIGKILL by `train`, on whatever machine."""
    (folder / f".{number.name}").touch()


def asked_to_stop(folder: Path) -> set[signal.Signals]:
    """The signals that the trial of a folder is to get."""
    return {number for number in SIGNALS if (folder / f".{number.name}").exists()}


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


class SideBySide(ABC):
    """Runs commands of vdsm-glass in the slots of a pool, until all have ended or the user stops them.

    Args:
        pool: runs `train`.
        slots: a dictionary of environment variables for each that runs at the same time.
        say: takes lines of progress.
        show: is called repeatedly with the names of what runs and the number of what has ended.
    """

    def __init__(
        self,
        *,
        pool: Executor,
        slots: Sequence[Mapping[str, str]],
        say: Callable[[str], None] = print,
        show: Callable[[Sequence[str], int], None] = lambda *_: None,
    ) -> None:
        self.pool, self.slots, self.say, self.show = pool, slots, say, show
        self.running: list[Any] = []
        self.ended, self.stopped = 0, 0

    @abstractmethod
    def waits(self) -> bool:
        """Whether there may be more to begin."""

    @abstractmethod
    def fill(self, free: list[int]) -> None:
        """Begins what waits, in the free slots."""

    @abstractmethod
    def look_at(self, each: Any) -> None:
        """Looks at one that runs; takes it out of `running` if it has ended."""

    def begin(self, words: Sequence[str], folder: Path, slot: int) -> Future[int]:
        """The exit code to come of `vdsm-glass WORDS`, which runs in the present folder.

        What an earlier call was asked to stop is forgotten.  Args: folder, as `train`.
        """
        folder = folder.absolute()
        for number in asked_to_stop(folder):
            (folder / f".{number.name}").unlink()
        return self.pool.submit(train, list(words), folder, Path.cwd(), self.slots[slot])

    def run_all(self) -> None:
        """Runs all. Afterwards `stopped` is 0, or 130 or 143 if the user stopped it.

        Of the signals that come, the first passes SIGTERM on, at which `fit` saves its state, and others SIGKILL.
        """
        passed_on = 0
        with stop_signals() as asked:
            try:
                while self.running or (self.waits() and not self.stopped):
                    for number in range(passed_on, len(asked)):
                        if number == 0:
                            many = len(self.running)
                            self.say(f"stopping {many} trainings, which save their state; once more ends them at once")
                        self.end_all(SIGNALS[min(number, 1)])
                    passed_on = len(asked)
                    self.stopped = 128 + asked[0] if asked else self.stopped
                    for each in list(self.running):
                        self.look_at(each)
                    if not self.stopped:
                        self.fill(sorted(set(range(len(self.slots))) - {each.slot for each in self.running}))
                    self.show([each.name for each in self.running], self.ended)
                    time.sleep(POLL_SECONDS)
                self.stopped = 128 + asked[0] if asked else self.stopped
            finally:
                self.end_all()  # only after an error is there one left

    def end_all(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Asks all that run to end."""
        for each in self.running:
            ask_to_stop(each.folder, number)

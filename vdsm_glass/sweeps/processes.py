"""Commands of vdsm-glass in processes of their own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from types import FrameType

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


def begun(pool: Executor, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Future[int]:
    """The exit code to come of `vdsm-glass WORDS`, which runs by `train` in a pool and in the present folder.

    What an earlier call was asked to stop is forgotten.
    """
    folder = folder.absolute()
    for number in asked_to_stop(folder):
        (folder / f".{number.name}").unlink()
    return pool.submit(train, list(words), folder, Path.cwd(), environment)


def pass_on(asked: Sequence[int], before: int, folders: Sequence[Path], say: Callable[[str], None]) -> int:
    """Passes signals on to what runs in folders: first SIGTERM, at which `fit` saves its state, then SIGKILL.

    Args: asked, the signals that came; before, how many of them have been passed on.   Returns: how many now have.
    """
    for number in range(before, len(asked)):
        if number == 0:
            say(f"stopping {len(folders)} trainings, which save their state; once more ends them at once")
        for folder in folders:
            ask_to_stop(folder, SIGNALS[min(number, 1)])
    return len(asked)


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

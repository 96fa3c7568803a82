"""Commands of vdsm-glass in processes of their own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

POLL_SECONDS = 0.2


def behind_dashes(argv: list[str]) -> tuple[list[str], list[str]]:
    """A command's own words, and those behind `--`, which are for each training."""
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def interpreter_line(words: Sequence[str]) -> list[str]:
    """The command line that runs `vdsm-glass WORDS` in a new process."""
    return [sys.executable, "-m", "vdsm_glass", *words]


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

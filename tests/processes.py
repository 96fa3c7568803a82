"""Processes that tests start: forked from one that has imported everything, and killed with all that they started."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE = 600
"""Seconds until a process counts as hanging. They take a few, and many more where others use the machine."""


def exit_codes(function: Callable[..., Any], *arguments: tuple[Any, ...], fork: bool = False) -> list[int]:
    """Calls a function at once in as many processes as there are tuples of arguments.

    Args: fork, this process, where the function is a local one; else one that does nothing but import.
    Returns: their exit codes; minus the signal's number where one killed it.
    Raises: TimeoutError, one did not end.
    """
    context = multiprocessing.get_context("fork" if fork else "forkserver")
    if not fork:
        context.set_forkserver_preload(["vdsm_glass.commands.train", "tests.runs"])
    processes = [context.Process(target=_leading, args=(function, each)) for each in arguments]
    try:
        for process in processes:
            process.start()
        end = time.monotonic() + PATIENCE
        # Not `join`, which waits for those that a killed process has left behind, too.
        while any(process.exitcode is None for process in processes):
            if time.monotonic() > end:
                raise TimeoutError(f"{function.__name__} did not end")
            time.sleep(0.01)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            if process.pid is not None:
                kill_all_of(process.pid)
                process.kill()
                process.join()


def _leading(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In a session of its own, which is killed as a whole."""
    os.setsid()
    # A child of a daemon would otherwise inherit that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    function(*arguments)


def kill_all_of(leader: int) -> None:
    """Kills a process that leads a session, and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


@contextmanager
def python(arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any) -> Iterator[Any]:
    """A Python process, `subprocess.Popen`'s with its options; it is killed at the end, and all that it started."""
    with subprocess.Popen(
        [sys.executable, *arguments], env=os.environ | (environment or {}), text=True, start_new_session=True, **options
    ) as process:
        try:
            yield process
        finally:
            kill_all_of(process.pid)

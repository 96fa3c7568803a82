"""Where a map over files or trials runs: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    InvalidStateError,
    ProcessPoolExecutor,
)
from contextlib import contextmanager, suppress
from itertools import islice
from threading import Condition, Event, Thread
from typing import Any, TypeVar
from weakref import WeakSet

from data_modules.common.errors import DataError, UserError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 3
"""How often an item may kill the process that works on it."""
AHEAD = 2
"""How many results may wait for each worker."""
CONNECT_SECONDS = 5
MOST_WORKERS = 8


def default_workers() -> int:
    """As many processes as this one may use cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def mapped(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int | None = None, cluster: str | None = None
) -> Iterator[Result]:
    """`map(function, items)` in other processes, which run in the folder of this one; results come in their order.

    What a killed process was working on is computed again. At most `AHEAD` results a worker are computed before they
    are asked for. What is left when the iterator is closed is not begun.

    Args: function, items, results: can be pickled, the function by its import path; workers, cluster: as `executor`.
    Raises: what `function` raises; DataError, on a cluster KilledError, where an item kills every process that takes
        it; UserError as `executor`.
    """
    done = attempts = 0
    while done < len(items):
        try:
            with executor(workers, cluster) as (pool, slots):
                folder, waiting = os.getcwd(), iter(items[done:])  # noqa: PTH109
                futures = deque(
                    pool.submit(_in, folder, function, item) for item in islice(waiting, slots * (1 + AHEAD))
                )
                while futures:
                    yield futures.popleft().result()
                    done, attempts = done + 1, 0
                    futures.extend(pool.submit(_in, folder, function, item) for item in islice(waiting, 1))
        except KilledError:
            raise
        except BrokenExecutor as error:
            attempts += 1
            if attempts == ATTEMPTS:
                raise DataError(
                    f"A process was killed {ATTEMPTS} times at the same work ({error}). If memory ran out, use fewer:"
                    " --workers 1."
                ) from error
            log.warning("A process was killed; what it was working on is done again.")


class KilledError(UserError, BrokenExecutor):
    """A call killed several workers of a cluster, one after the other."""


@contextmanager
def executor(
    workers: int | None = None, cluster: str | None = None, resources: Mapping[str, float] | None = None
) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many calls it runs at a time. When the context is left by an error, no further call begins.

    Args:
        workers: calls at a time; by default `default_workers`, or as many as the cluster has room for.
        cluster: address of a Dask scheduler; None for processes of this machine.
        resources: what each call takes of its Dask worker's resources, such as {"GPU": 1}.
    Raises: UserError, `distributed` is not installed, or there is no scheduler, or it went away; BrokenExecutor, a
        process was killed; KilledError on a cluster, where Dask repeats the call on other workers before that.
    """
    if cluster is not None:
        with _dask(cluster, workers, dict(resources or {})) as found:
            yield found
        return
    workers = workers or default_workers()
    pool = ProcessPoolExecutor(workers, initializer=_begin_process)
    try:
        yield pool, workers
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextmanager
def _dask(address: str, workers: int | None, resources: dict[str, float]) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client, KilledWorker
    except ModuleNotFoundError as error:
        raise UserError(f"--cluster {address} needs {error.name}: pip install 'vdsm-glass[cluster]'") from error
    client, reason = None, ""
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error)
    if client is None:
        # A client that finds nobody is left half made. If it were collected while another one starts, both would wait
        # for one lock without end.
        gc.collect()
        raise UserError(
            f"--cluster {address}: no Dask scheduler answers there ({reason}). Start one with `dask scheduler`, which"
            " prints its address."
        )
    with client:
        found = client.scheduler_info(n_workers=-1)["workers"].values()
        room = sum(_room(worker, resources) for worker in found)
        if not room:
            offered = f" that offer {resources}" if resources else ""
            log.warning("The cluster at %s has no workers%s yet; waiting for some.", address, offered)
        pool = client.get_executor(pure=False, resources=resources)
        waiting: WeakSet[Future[Any]] = WeakSet()
        submit, over = pool.submit, Event()

        def noted(*call: Any) -> Future[Any]:
            waiting.add(future := submit(*call))
            return future

        pool.submit = noted  # pyright: ignore[reportAttributeAccessIssue]
        Thread(target=_watch, args=(client, waiting, over), daemon=True).start()
        try:
            yield pool, workers or room or 1
        except KilledWorker as error:
            raise KilledError(f"--cluster {address}: {error}") from error
        except CancelledError as error:
            raise UserError(
                f"--cluster {address}: the scheduler is gone. Repeat the command when it is back."
            ) from error
        finally:
            over.set()
            if client.status == "running":
                pool.shutdown(wait=False)


def _watch(client: Any, waiting: WeakSet[Future[Any]], over: Event) -> None:
    """Ends all calls when the scheduler is gone; some would never end, because Dask does not tell all their futures."""
    while not over.wait(0.5):
        if client.status == "closed":
            for future in [each for each in waiting if not each.done()]:
                with suppress(InvalidStateError):
                    future.set_exception(CancelledError())


def _room(worker: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    """How many calls a Dask worker runs at a time."""
    return int(min([worker["nthreads"], *(worker["resources"].get(name, 0) // n for name, n in resources.items())]))


_inside: list[bool] = []
"""One for each call of `_in` that runs in this process."""
_left = Condition()


def _in(folder: str, function: Callable[[Item], Result], item: Item) -> Result:
    """`function(item)` in a folder, so that relative paths mean the same in every process.

    A process has one folder for all its threads. So where a worker of several threads serves commands of several
    folders, one waits for the other.

    Raises: UserError, the folder is not there.
    """
    with _left:
        _left.wait_for(lambda: os.getcwd() == folder or not _inside)  # noqa: PTH109
        try:
            os.chdir(folder)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be entered on {socket.gethostname()}: {error.strerror}. All workers of a cluster must"
                " see the folder of the command and its data under the same path."
            ) from error
        _inside.append(True)
    try:
        return function(item)
    finally:
        with _left:
            _inside.pop()
            _left.notify_all()


def _begin_process() -> None:
    """Leaves Ctrl-C to the parent, ends this process when the parent is gone, and uses one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if "torch" in sys.modules:  # who has not needed it so far does not wait for it
        sys.modules["torch"].set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None  # a pool's process has one

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()

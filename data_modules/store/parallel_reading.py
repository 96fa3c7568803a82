"""Reading a dataset's units in several processes, in the order in which one process would read them."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from data_modules.common.errors import DataError, UserError
from data_modules.store.clip_source import Clip, ClipSource
from data_modules.store.format import Split

LOOK_AHEAD = 2
"""How many clips a process keeps ready beside the one that it is reading."""
MOST_WORKERS = 8


@dataclass(frozen=True)
class UnitEnd:
    """Follows the last clip of a unit; `skipped` says what the unit left out, by reason."""

    skipped: Counter[str]


def default_workers() -> int:
    """As many processes as this one may use cores, at most 8: each keeps up to three clips in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


@contextmanager
def naming_killed_workers() -> Iterator[None]:
    """A context for the consumer of `read_units`: PyTorch reports a killed process by a signal, at any line of it.

    Raises: DataError where a process was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise DataError(
            f"A process that read clips was killed ({error}). If memory ran out, use fewer: --workers 1."
        ) from error


def read_units(
    source: ClipSource, split: Split, units: Sequence[Any] | None, *, workers: int, done: int = 0
) -> Iterator[Clip | UnitEnd]:
    """The clips of all `units` in their order, and a `UnitEnd` after each unit; `workers` does not change what comes.

    Of n processes the i-th reads units i, i + n, ... and waits when it is `LOOK_AHEAD` clips ahead: memory is bounded
    by the clips' size, not by how many there are. With fewer than two workers or units, this process reads everything.

    Args: units: None for all that `source.read` reads, as one unit; done: how many units to leave out at the front.
    Raises: what `source.read_unit` raises. A killed process: see `naming_killed_workers`.
    """
    if units is None:
        if not done:
            yield from _counted(source, source.read, split)
        return
    units = units[done:]
    workers = min(workers, len(units))
    if workers < 2:
        for unit in units:
            yield from _counted(source, source.read_unit, unit)
        return
    shares = [_Share(source.for_loader_process(), units[first::workers]) for first in range(workers)]
    streams = [
        iter(
            DataLoader(
                share,
                batch_size=None,
                num_workers=1,
                prefetch_factor=LOOK_AHEAD,
                collate_fn=_unchanged,
                worker_init_fn=_end_with_parent,
            )
        )
        for share in shares
    ]
    for index in range(len(units)):
        yield from _one_unit(streams[index % workers])


def _counted(source: ClipSource, read: Callable[..., Iterable[Clip]], *what: Any) -> Iterator[Clip | UnitEnd]:
    source.skipped = Counter()
    yield from read(*what)
    yield UnitEnd(source.skipped)


class _Share(IterableDataset[Any]):
    """What one process reads. A UserError is yielded as an item, because PyTorch would wrap a raised one."""

    def __init__(self, source: ClipSource, units: Sequence[Any]) -> None:
        self.source = source
        self.units = units

    def __iter__(self) -> Iterator[Clip | UnitEnd | UserError]:
        try:
            for unit in self.units:
                yield from _counted(self.source, self.source.read_unit, unit)
        except UserError as error:
            yield error


def _one_unit(stream: Iterator[Clip | UnitEnd | UserError]) -> Iterator[Clip | UnitEnd]:
    for item in stream:
        if isinstance(item, UserError):
            raise item
        yield item
        if isinstance(item, UnitEnd):
            return


def _end_with_parent(_worker: int) -> None:
    """End this process when its parent is gone: PyTorch looks for that only between two clips, and may wait then."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # a loader's process has one

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _unchanged(item: Any) -> Any:
    return item

"""A dataset's units read in several processes, in the order in which one process would read them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, IterableDataset

from data_modules.common.errors import DataError, UserError
from data_modules.loading.clips import Clip
from data_modules.store.columns import Split

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule

LOOK_AHEAD = 2
"""Clips that a process has ready beside the one that it is reading."""
MOST_WORKERS = 8


@dataclass(frozen=True)
class UnitEnd:
    """All clips of a unit have come; `skipped` says what it left out, by reason."""

    skipped: Counter[str]


def default_workers() -> int:
    """As many processes as there are cores for this one, at most 8: each keeps up to three clips in memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


@contextmanager
def naming_killed_workers() -> Iterator[None]:
    """For whatever goes through `read_units`: PyTorch notices a killed process by a signal, whose error may come from
    any line.

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
    module: VideoDataModule, split: Split, units: Sequence[Any] | None, *, workers: int, done: int = 0
) -> Iterator[Clip | UnitEnd]:
    """The clips of all `units`, in their order, and a `UnitEnd` after those of each; for any number of `workers` alike.

    Of n processes the i-th reads units i, i + n, ... and waits when it is `LOOK_AHEAD` clips ahead: memory is bounded
    by the clips' size, not by how many there are. With fewer than two workers or units all is read in this process.

    Args: units: None for all that `module.read` reads, as one unit; done: how many units to leave out at the front.
    Raises: what `module.read_unit` raises. A killed process: see `naming_killed_workers`.
    """
    if units is None:
        if not done:
            yield from _counted(module, module.read, split)
        return
    units = units[done:]
    workers = min(workers, len(units))
    if workers < 2:
        for unit in units:
            yield from _counted(module, module.read_unit, unit)
        return
    reader = copy(module)
    reader.trainer = None  # which could not be sent to a process that is not forked
    shares = [_Share(reader, units[first::workers]) for first in range(workers)]
    streams = [
        iter(DataLoader(share, batch_size=None, num_workers=1, prefetch_factor=LOOK_AHEAD, collate_fn=_unchanged))
        for share in shares
    ]
    for index in range(len(units)):
        yield from _one_unit(streams[index % workers])


def _counted(module: VideoDataModule, read: Callable[..., Iterable[Clip]], *what: Any) -> Iterator[Clip | UnitEnd]:
    module.skipped = Counter()
    yield from read(*what)
    yield UnitEnd(module.skipped)


class _Share(IterableDataset[Any]):
    """What one process reads. An error meant for the user comes as an item, lest PyTorch wrap it in a traceback."""

    def __init__(self, module: VideoDataModule, units: Sequence[Any]) -> None:
        self.module = module
        self.units = units

    def __iter__(self) -> Iterator[Clip | UnitEnd | UserError]:
        try:
            for unit in self.units:
                yield from _counted(self.module, self.module.read_unit, unit)
        except UserError as error:
            yield error


def _one_unit(stream: Iterator[Clip | UnitEnd | UserError]) -> Iterator[Clip | UnitEnd]:
    for item in stream:
        if isinstance(item, UserError):
            raise item
        yield item
        if isinstance(item, UnitEnd):
            return


def _unchanged(item: Any) -> Any:
    return item

"""Reading a dataset's units in several processes, in the order in which one process would read them."""

from __future__ import annotations

import pickle
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from socket import gethostname
from typing import Any

from data_modules.common.errors import DataError
from data_modules.common.executors import mapped
from data_modules.store.clip_source import Clip, ClipSource
from data_modules.store.format import Split


@dataclass(frozen=True)
class UnitEnd:
    """Follows the last clip of a unit; `skipped` says what the unit left out, by reason."""

    skipped: Counter[str]


def read_units(
    source: ClipSource,
    split: Split,
    units: Sequence[Any] | None,
    *,
    folder: Path,
    workers: int | None,
    cluster: str | None = None,
    done: int = 0,
) -> Generator[Clip | UnitEnd, None, None]:
    """The clips of all `units` in their order, and a `UnitEnd` after each unit; who reads does not change what comes.

    Each process has one clip in memory; it writes a unit's clips into a file, which is removed once it was read. With
    fewer than two workers or units, and no cluster, this process reads everything.

    Args:
        units: None for all that `source.read` reads, as one unit; done: how many units to leave out at the front.
        folder: for the files; what is there is removed. The workers of a cluster must see it.
        workers, cluster: as `executor`.
    Raises: what `source.read_unit` and `mapped` raise; DataError where the folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed
    if units is None:
        if not done:
            yield from _counted(source, source.read, split)
        return
    units = units[done:]
    if cluster is None and workers is not None and min(workers, len(units)) < 2:
        for unit in units:
            yield from _counted(source, source.read_unit, unit)
        return
    folder.mkdir(parents=True)
    # A file, because a source that lists 100 000 videos is too long to send with each of them.
    sent = Path(tempfile.mkdtemp(dir=folder)).absolute() / "source"
    sent.write_bytes(pickle.dumps(source.for_loader_process()))
    try:
        for file in mapped(partial(_write_unit, sent), units, workers=workers, cluster=cluster):
            yield from _items(file)
            file.unlink()
    finally:
        sent.unlink(missing_ok=True)  # tells processes that are still reading to stop
        shutil.rmtree(folder, ignore_errors=True)


def _counted(source: ClipSource, read: Callable[..., Iterable[Clip]], *what: Any) -> Iterator[Clip | UnitEnd]:
    source.skipped = Counter()
    yield from read(*what)
    yield UnitEnd(source.skipped)


def _write_unit(sent: Path, unit: Any) -> Path:
    """The file with what `_counted` yields for a unit of the source in the file `sent`; its name is new at every call.

    Raises: what `read_unit` raises; DataError where files cannot be read or written.
    """
    try:
        source = _source(sent, threading.get_ident())
        with tempfile.NamedTemporaryFile(dir=sent.parent, delete=False) as file:
            for item in _counted(source, source.read_unit, unit):
                if not sent.exists():
                    break
                pickle.dump(item, file)
    except OSError as error:
        raise DataError(
            f"Clips cannot be read, or not be written to {sent.parent} on {gethostname()}: {error}."
        ) from error
    return Path(file.name)


@lru_cache(maxsize=16)
def _source(sent: Path, thread: int) -> ClipSource:  # noqa: ARG001 (threads do not share `skipped`)
    return pickle.loads(sent.read_bytes())


def _items(file: Path) -> Iterator[Clip | UnitEnd]:
    with file.open("rb") as stream:
        while stream.peek(1):
            yield pickle.load(stream)

"""When a store is built: not there yet, or damaged; once, whoever asks and however many ask at the same time."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from data_modules.common.errors import DataError, DownloadError, MissingSourceError
from data_modules.store.columns import SPLITS, DamagedStoreError, Split
from data_modules.store.reader import Store, made_earlier, source_hash
from data_modules.store.source import StandIn
from data_modules.store.workers import UnitEnd, default_workers, naming_killed_workers, read_units
from data_modules.store.writer import StoreWriter, remove_store

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule

log = logging.getLogger(__name__)

Progress = Callable[[Split, int], None]  # so many more clips of a split are in the store


@dataclass(frozen=True)
class Place:
    """Where a module's store is, or will be.

    Args:
        folder: its folder.
        source: what its clips are made from.
        stand_in: the files are not there, and this is read instead.
        without_files: the files are not there, and the store was made when they were.
    """

    folder: Path
    source: dict[str, Any]
    stand_in: StandIn | None = None
    without_files: bool = False


def locate(module: VideoDataModule, *, download: bool = False) -> Place:
    """Where the store is, by the files it is made from.

    Where those are not there, it is the store that was made when they were; failing that, they are downloaded where the
    module's `download`, or if it leaves that open `download`, says so; failing that, it is the stand-in's.

    Raises: MissingSourceError where nothing of that is possible; DownloadError where the module insists on it in vain.
    """
    try:
        return _place(module, module.fingerprint())
    except MissingSourceError:
        for folder, source in made_earlier(module.stores, module.request()):
            return Place(folder, source, without_files=True)
        if _fetched(module, download):
            return _place(module, module.fingerprint())
        stand_in = module.stand_in()
        if stand_in is None:
            raise
        return _place(module, stand_in.fingerprint, stand_in)


def open_or_build(
    module: VideoDataModule,
    *,
    workers: int | None = None,
    download: bool = False,
    on_progress: Progress | None = None,
) -> Store:
    """The store of `module`, built where it is missing or damaged.

    Processes on one machine take turns, so that one builds and the others find the result; the lock falls with the
    process that holds it. On machines that share a disk without sharing locks, the first to finish wins.

    Args:
        workers: processes that read; by default as many as cores, but none for a tiny source.
        download: download what is missing, unless the module says otherwise.
        on_progress: is told of all clips in the store, also of those that an interrupted build left.
    Raises: DataError where the source cannot be had or read, or the store's place is taken by something else.
    """
    place = locate(module, download=download)
    if place.stand_in is not None:
        log.warning("%s", place.stand_in.warning)
    if place.without_files:
        log.info("The files of %s are not there; using %s, which was made from them.", module.name, place.folder)
    with contextlib.suppress(FileNotFoundError, DamagedStoreError):  # dealt with below, when it is our turn
        return Store.open(place.folder, place.source)
    with _turn(place.folder):
        try:
            return Store.open(place.folder, place.source)
        except FileNotFoundError:
            log.info("Building %s.", place.folder)
        except DamagedStoreError as error:
            if place.without_files:
                module.fingerprint()  # says what to do about the files, without which nothing can be mended
            log.warning("%s Building the store again.", error)
            remove_store(place.folder)
        if workers is None:
            workers = 0 if module.tiny else default_workers()
        _build(module, place, workers, on_progress or _silent)
    return Store.open(place.folder, place.source)


def _build(module: VideoDataModule, place: Place, workers: int, on_progress: Progress) -> None:
    module.obtain()
    left_out: dict[Split, Counter[str]] = {}
    size = module.height, module.width
    with StoreWriter(place.folder, place.source, size) as writer, naming_killed_workers():
        for split in SPLITS:
            module.skipped = left_out[split] = Counter()
            units = module.units(split)
            on_progress(split, writer.clips(split))
            for item in read_units(module, split, units, done=writer.units(split), workers=workers):
                if isinstance(item, UnitEnd):
                    writer.end_unit(split, item.skipped)
                else:
                    writer.add(split, item)
                    on_progress(split, 1)
            left_out[split].update(writer.skipped(split))
            if left_out[split]:
                reasons = "; ".join(f"{count} {reason}" for reason, count in left_out[split].most_common())
                log.warning("%s: left out of %s: %s.", module.name, split, reasons)
        about = {
            "request": module.request(),
            "stand_in": place.stand_in is not None,
            "labels": module.describe_labels().to_json(),
        }
        if not writer.commit(about, left_out):
            log.info("Another machine has built %s in the meantime; using that.", place.folder)


def _silent(split: Split, clips: int) -> None:
    """For those who need not know."""


def _place(module: VideoDataModule, fingerprint: dict[str, Any], stand_in: StandIn | None = None) -> Place:
    source = module.describe_source(fingerprint)
    return Place(module.stores / f"{module.name}-{source_hash(source)}", source, stand_in)


def _fetched(module: VideoDataModule, download: bool) -> bool:
    """Whether the files could be downloaded, if that was asked for."""
    if not (download if module.download is None else module.download):
        return False
    try:
        return module.fetch()
    except DownloadError as error:
        if module.download:
            raise
        log.warning("%s", error)
        return False


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold the lock of the store in `folder`, saying so where that means to wait."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
    except OSError as error:
        raise DataError(f"{folder.parent} cannot be written: {error.strerror}. Choose another --data.root.") from error
    if not lock.is_locked:
        log.warning("Another process is building %s; waiting for it.", folder)
    with lock:
        yield

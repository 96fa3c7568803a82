"""Deciding when a store is built: where it is missing or damaged, and once, however many processes ask for it."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data_modules.common.errors import DataError, DownloadError, MissingSourceError
from data_modules.common.executors import default_workers
from data_modules.store.clip_source import ClipSource, StandIn
from data_modules.store.format import SPLITS, DamagedStoreError, Split, source_hash
from data_modules.store.parallel_reading import UnitEnd, read_units
from data_modules.store.reader import Store, made_earlier
from data_modules.store.remote import Remote
from data_modules.store.writer import StoreWriter, remove_store

log = logging.getLogger(__name__)

Progress = Callable[[Split, int], None]
"""Is told a split and how many more of its clips are in the store."""


@dataclass(frozen=True)
class Place:
    """Where a dataset's store is, or will be.

    Args:
        source: what its clips are made from.
        stand_in: what is read instead where the files are missing.
        without_files: the files are missing now, and the store was made when they were there.
    """

    folder: Path
    source: dict[str, Any]
    stand_in: StandIn | None = None
    without_files: bool = False


def locate(dataset: ClipSource, *, download: bool = False) -> Place:
    """Where the store is, which depends on the files it is made from.

    If they are missing, it is the store that was made when they were there. If there is none, they are downloaded where
    `dataset.download`, or if that is None `download`, says so. Otherwise it is the stand-in's store.

    Raises: MissingSourceError where none of that is possible; DownloadError where the download fails that
        `dataset.download` asks for.
    """
    try:
        return _place(dataset, dataset.fingerprint())
    except MissingSourceError:
        for folder, source in made_earlier(dataset.stores, dataset.request()):
            return Place(folder, source, without_files=True)
        if _fetched(dataset, download):
            return _place(dataset, dataset.fingerprint())
        stand_in = dataset.stand_in()
        if stand_in is None:
            raise
        return _place(dataset, stand_in.fingerprint, stand_in)


def open_elsewhere(dataset: ClipSource) -> Store | None:
    """The store that `dataset.store_url` names, if it names one.  Raises: DataError as `Remote.open`."""
    if dataset.store_url is None:
        return None
    return Remote(dataset.store_url, dataset.root / "cache", dataset.cache_gb).open(dataset.request())


def open_or_build(
    dataset: ClipSource,
    *,
    workers: int | None = None,
    cluster: str | None = None,
    download: bool = False,
    on_progress: Progress | None = None,
) -> Store:
    """The store of `dataset`, built where it is missing or damaged, and not one elsewhere.

    Processes on one machine take turns, so that one builds and the others find the result; the lock ends with the
    process that holds it. On machines that share a disk without sharing locks, the first to finish wins.

    Args:
        workers: processes that read; by default as many as cores, but none for a tiny source.
        cluster: address of the Dask scheduler whose workers read, by default all; they must see the store's folder.
        download: download missing files, unless the dataset says otherwise.
        on_progress: is told of all clips in the store, also of those that an interrupted build left.
    Raises: DataError where the source is missing or malformed, or something else occupies the store's place.
    """
    if (store := open_elsewhere(dataset)) is not None:
        return store
    place = locate(dataset, download=download)
    if place.stand_in is not None:
        log.warning("%s", place.stand_in.warning)
    if place.without_files:
        log.info("The files of %s are not there; using %s, which was made from them.", dataset.name, place.folder)
    with contextlib.suppress(FileNotFoundError, DamagedStoreError):  # handled below, with the lock held
        return Store.open(place.folder, place.source)
    with _turn(place.folder):
        try:
            return Store.open(place.folder, place.source)
        except FileNotFoundError:
            log.info("Building %s.", place.folder)
        except DamagedStoreError as error:
            if place.without_files:
                dataset.fingerprint()  # raises: without the files the store cannot be repaired
            log.warning("%s Building the store again.", error)
            remove_store(place.folder)
        if workers is None and cluster is None:
            workers = 0 if dataset.tiny else default_workers()
        _build(dataset, place, workers, cluster, on_progress or (lambda *_: None))
    return Store.open(place.folder, place.source)


def _build(dataset: ClipSource, place: Place, workers: int | None, cluster: str | None, on_progress: Progress) -> None:
    dataset.obtain()
    left_out: dict[Split, Counter[str]] = {}
    size = dataset.height, dataset.width
    with StoreWriter(place.folder, place.source, size) as writer:
        for split in SPLITS:
            dataset.skipped = left_out[split] = Counter()
            units = dataset.units(split)
            written = writer.splits[split]
            on_progress(split, written.clips)
            options = {"workers": workers, "cluster": cluster, "done": written.units}
            with contextlib.closing(
                read_units(dataset, split, units, folder=writer.temporary / "parts", **options)
            ) as items:
                for item in items:
                    if isinstance(item, UnitEnd):
                        writer.end_unit(split, item.skipped)
                    else:
                        writer.add(split, item)
                        on_progress(split, 1)
            left_out[split].update(written.skipped)
            if left_out[split]:
                reasons = "; ".join(f"{count} {reason}" for reason, count in left_out[split].most_common())
                log.warning("%s: left out of %s: %s.", dataset.name, split, reasons)
        about = {
            "request": dataset.request(),
            "stand_in": place.stand_in is not None,
            "labels": dataset.describe_labels().to_json(),
        }
        if not writer.commit(about, left_out):
            log.info("Another machine has built %s in the meantime; using that.", place.folder)


def _place(dataset: ClipSource, fingerprint: dict[str, Any], stand_in: StandIn | None = None) -> Place:
    source = dataset.describe_source(fingerprint)
    return Place(dataset.stores / f"{dataset.name}-{source_hash(source)}", source, stand_in)


def _fetched(dataset: ClipSource, download: bool) -> bool:
    """Whether the files were downloaded; False where that is not wanted, not possible, or failed."""
    if not (download if dataset.download is None else dataset.download):
        return False
    try:
        return dataset.fetch()
    except DownloadError as error:
        if dataset.download:
            raise
        log.warning("%s", error)
        return False


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold the lock of the store in `folder`, and log if another process holds it first."""
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

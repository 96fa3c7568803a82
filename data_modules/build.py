"""When a store is built: not there yet, or damaged; once, whoever asks and however many ask at the same time."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from data_modules.clips import Clip
from data_modules.errors import DataError
from data_modules.store import SPLITS, DamagedStoreError, Split, Store
from data_modules.store_writer import StoreWriter, remove_leftovers, remove_store

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule

log = logging.getLogger(__name__)


def open_or_build(module: VideoDataModule, on_clip: Callable[[Split, Clip], None] | None = None) -> Store:
    """The store of `module`, built where it is missing or damaged.

    Processes on one machine take turns, so that one builds and the others find the result; the lock falls with the
    process that holds it. On machines that share a disk without sharing locks, the first to finish wins.

    Args: on_clip is told of every clip that was written.
    Raises: DataError where the source cannot be had or read, or the store's place is taken by something else.
    """
    folder, source = module.store_folder(), module.description()
    with contextlib.suppress(FileNotFoundError, DamagedStoreError):  # dealt with below, when it is our turn
        return Store.open(folder, source)
    with _turn(folder):
        remove_leftovers(folder)
        try:
            return Store.open(folder, source)
        except FileNotFoundError:
            log.info("Building %s.", folder)
        except DamagedStoreError as error:
            log.warning("%s Building the store again.", error)
            remove_store(folder)
        _build(module, folder, source, on_clip)
    return Store.open(folder, source)


def _build(
    module: VideoDataModule, folder: Path, source: dict[str, Any], on_clip: Callable[[Split, Clip], None] | None
) -> None:
    module.obtain()
    skipped: dict[Split, Counter[str]] = {}
    with StoreWriter(folder, source, (module.height, module.width)) as writer:
        for split in SPLITS:
            module.skipped = skipped[split] = Counter()
            for clip in module.read(split):
                writer.add(split, clip)
                if on_clip is not None:
                    on_clip(split, clip)
            if skipped[split]:
                reasons = "; ".join(f"{count} {reason}" for reason, count in skipped[split].most_common())
                log.warning("%s: left out of %s: %s.", module.name, split, reasons)
        if not writer.commit(skipped):
            log.info("Another machine has built %s in the meantime; using that.", folder)


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

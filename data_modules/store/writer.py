"""Writing a clip store: one clip is in memory at a time, the store appears when it is complete, a killed build resumes.

While it is written a store has a hidden name, `.<name>.<host>.partial`, and in it a journal: the size and checksum of
every file when a unit of the source was done. The next build checks the files against the journal, cuts off what was
written later, and continues there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from einops import rearrange

from data_modules.common.errors import MALFORMED, DataError
from data_modules.common.files import write_json
from data_modules.store.clip_source import Clip
from data_modules.store.format import FORMAT, MANIFEST, SPLITS, VERSION, Layout, Split
from data_modules.store.growing_files import ChangedFileError, Rows, SplitFiles

log = logging.getLogger(__name__)

JOURNAL = "journal.json"
JOURNAL_SECONDS = 2.0
"""Least time between two entries. A kill loses what was read since the last entry."""


class StoreWriter:
    """Collects clips in a hidden folder beside `folder`; `commit` gives that folder its name.

    It is a context, entered while the store's lock is held. An error removes what was written; after Ctrl-C or a kill
    it stays, and the next build resumes.

    Args: folder, where the store will be; source, what the clips are made from; size, height and width of a frame.
    """

    def __init__(self, folder: Path, source: dict[str, Any], size: tuple[int, int]) -> None:
        self.folder = folder
        self.source = source
        self.size = size
        # The machine is named because locks may not reach others that share the disk.
        self.temporary = folder.with_name(f".{folder.name}.{socket.gethostname()}.partial")
        self._layout: Layout | None = None
        self.splits: dict[Split, SplitFiles] = {}  # with clips in it at first where a build is resumed
        self._noted = time.monotonic()

    def __enter__(self) -> StoreWriter:
        if (self.temporary / JOURNAL).is_file():
            try:
                self._resume()
            except (ChangedFileError, OSError, *MALFORMED) as error:
                log.warning("%s cannot be resumed (%r); building from the beginning.", self.temporary, error)
                self._close()
                self._layout, self.splits = None, {}
        if not self.splits:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.splits = {split: SplitFiles(self.temporary / split) for split in SPLITS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if kind is None or issubclass(kind, Exception):
            shutil.rmtree(self.temporary, ignore_errors=True)  # gone already after `commit`

    def add(self, split: Split, clip: Clip) -> None:
        """Append `clip` to `split`.

        Raises: DataError where the clip is malformed, differs in size or fields from those before, or the disk is full.
        """
        rows = rows_of(clip, self.size)
        layout: Layout = {field: (per, values.shape[1:]) for field, (per, values) in rows.items()}
        self._layout = self._layout or layout
        if layout != self._layout:
            raise DataError(f"{_called(clip)} has the fields {layout}, those before it {self._layout}.")
        with self._writing():
            self.splits[split].append(rows, name=clip.name)

    def end_unit(self, split: Split, skipped: Mapping[str, int]) -> None:
        """Note in the journal that all clips of a unit of `split` were added, and how many were left out by reason."""
        self.splits[split].units += 1
        self.splits[split].skipped.update(skipped)
        if time.monotonic() - self._noted >= JOURNAL_SECONDS:
            with self._writing():
                self._note()
            self._noted = time.monotonic()

    def commit(self, about: Mapping[str, Any], skipped: Mapping[Split, Mapping[str, int]]) -> bool:
        """Write the manifest and rename the folder, in one step; False where another machine was faster.

        Args: about: what else the manifest says; skipped: what was left out of each split, by reason.
        """
        with self._writing():
            (self.temporary / JOURNAL).unlink(missing_ok=True)
            splits = {
                split: part.finish(self._layout or {}) | {"skipped": dict(skipped.get(split, {}))}
                for split, part in self.splits.items()
            }
            manifest = {"format": FORMAT, "version": VERSION, "source": self.source, **about, "splits": splits}
            path = write_json(manifest, self.temporary / MANIFEST)
            for written in (path, *(self.temporary / split for split in SPLITS), self.temporary):
                _flush(written)
        try:
            self.temporary.rename(self.folder)
        except OSError:
            if self.folder.is_dir():
                return False
            raise
        _flush(self.folder.parent)
        return True

    def _resume(self) -> None:
        journal = json.loads((self.temporary / JOURNAL).read_text("utf-8"))
        if (journal["version"], journal["source"], tuple(journal["size"])) != (VERSION, self.source, self.size):
            raise ValueError("it was made from another source")
        layout = journal["layout"]
        self._layout = layout and {field: (per, tuple(shape)) for field, (per, shape) in layout.items()}
        for split in SPLITS:
            self.splits[split] = SplitFiles(self.temporary / split, journal["splits"][split])
        for unfinished in self.temporary.glob(f".{Path(JOURNAL).stem}-*"):
            unfinished.unlink()
        clips = sum(part.clips for part in self.splits.values())
        log.info("Going on with %s after %d clips of an interrupted build.", self.folder, clips)

    def _close(self) -> None:
        for part in self.splits.values():
            part.close()

    def _note(self) -> None:
        journal = {
            "version": VERSION,
            "source": self.source,
            "size": self.size,
            "layout": self._layout,
            "splits": {split: part.state() for split, part in self.splits.items()},
        }
        write_json(journal, self.temporary / JOURNAL)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}. Nothing was kept of it.") from error


def remove_store(folder: Path) -> None:
    """Remove a damaged store.

    Raises: DataError, and removes nothing, where the folder holds a file that no store has.
    """
    foreign = [path for path in folder.rglob("*") if path.is_file() and not _is_ours(path.relative_to(folder))]
    if foreign:
        raise DataError(f"{folder} is a damaged clip store, but {foreign[0]} is not part of one. Move the folder away.")
    shutil.rmtree(folder)


def rows_of(clip: Clip, size: tuple[int, int]) -> Rows:
    """The rows that `clip` adds to each field.

    Raises: DataError where its frames are not uint8 of `size`, or a field has another number of frames.
    """
    video, action = clip.video, np.asarray(clip.action)
    if video.dtype != np.uint8 or video.ndim != 4 or not len(video) or video.shape[1:] != (*size, 3):
        raise DataError(
            f"{_called(clip)} is {video.dtype} {video.shape}; expected uint8 (frames, {size[0]}, {size[1]}, 3), at "
            "least one frame."
        )
    rows: Rows = {
        "video": ("frame", rearrange(video, "t h w c -> t c h w")),
        "length": ("clip", np.array([len(video)])),
        "identity": ("clip", np.array([clip.identity])),
        "action": ("frame", action) if action.ndim else ("clip", action[None]),
    }
    for field in ("mask", "local_action", "position"):
        if (values := getattr(clip, field)) is not None:
            rows[field] = ("frame", values)
    for field in ("foreground_shift", "background_shift"):
        if (values := getattr(clip, field)) is not None:
            # A row of zeros follows the last frame, so that all per-frame fields have equally many rows.
            rows[field] = ("frame", np.concatenate([values, np.zeros((1, 2), values.dtype)]))
    for field, (per, values) in rows.items():
        if per == "frame" and len(values) != len(video):
            raise DataError(f"{_called(clip)} has {len(video)} frames, but {len(values)} rows of {field}.")
    return rows


def _called(clip: Clip) -> str:
    return f"The clip {clip.name!r}" if clip.name else "A clip"


def _is_ours(path: Path) -> bool:
    return path == Path(MANIFEST) or (path.parent.name in SPLITS and path.suffix in (".bin", ".jsonl"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

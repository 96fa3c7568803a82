"""Writing a clip store: one clip in memory at a time, and either the whole store appears or nothing does."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from einops import rearrange

from data_modules.clips import Clip
from data_modules.errors import DataError
from data_modules.store import DTYPES, FORMAT, MANIFEST, NAMES, SPLITS, VERSION, Split

Layout = dict[str, tuple[str, tuple[int, ...]]]  # field -> per "frame" or "clip", shape of an item


class StoreWriter:
    """Collects clips in a temporary folder beside `folder`; `commit` gives it its name.

    Used as a context: left without `commit`, it removes what it wrote.

    Args:
        folder: where the store shall be.
        source: what the clips are made from.
        size: height and width of every frame.
    """

    def __init__(self, folder: Path, source: dict[str, Any], size: tuple[int, int]) -> None:
        self.folder = folder
        self.source = source
        self.size = size
        self.temporary = folder.with_name(f"{_temporary_prefix(folder)}{os.getpid()}-{secrets.token_hex(4)}")
        self._layout: Layout | None = None
        self._splits: dict[Split, _SplitWriter] = {split: _SplitWriter(self.temporary / split) for split in SPLITS}

    def __enter__(self) -> StoreWriter:
        for split in SPLITS:
            (self.temporary / split).mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._splits.values():
            part.close()
        shutil.rmtree(self.temporary, ignore_errors=True)  # gone already after `commit`

    def add(self, split: Split, clip: Clip) -> None:
        """Append `clip` to `split`.

        Raises: DataError where the clip is malformed, differs in size or fields from those before, or the disk is full.
        """
        rows = _rows(clip, self.size)
        layout = {field: (per, values.shape[1:]) for field, (per, values) in rows.items()}
        self._layout = self._layout or layout
        if layout != self._layout:
            raise DataError(f"{_called(clip)} has the fields {layout}, those before it {self._layout}.")
        try:
            self._splits[split].append(rows, name=clip.name)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}. Nothing was kept of it.") from error

    def commit(self, skipped: Mapping[Split, Mapping[str, int]]) -> bool:
        """Write the manifest and give the store its name, in one step; False where another process was faster."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "source": self.source,
            "splits": {
                split: part.finish(self._layout or {}) | {"skipped": dict(skipped.get(split, {}))}
                for split, part in self._splits.items()
            },
        }
        path = self.temporary / MANIFEST
        path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
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


class _SplitWriter:
    """The files of one split, and how many clips and frames went into them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips = 0
        self.frames = 0
        self.files: dict[str, _File] = {}

    def append(self, rows: dict[str, tuple[str, np.ndarray]], name: str) -> None:
        for field, (_, values) in rows.items():
            self._file(f"{field}.bin").write(np.ascontiguousarray(values, DTYPES[field]).data.cast("B"))
        self._file(f"{NAMES}.jsonl").write(json.dumps(name).encode() + b"\n")
        self.clips += 1
        self.frames += len(rows["video"][1])

    def finish(self, layout: Layout) -> dict[str, Any]:
        """Flush all files to the disk; the split's entry in the manifest."""
        columns = {}
        for field, (per, shape) in (layout | {NAMES: ("clip", ())}).items():
            file = self._file(f"{NAMES}.jsonl" if field == NAMES else f"{field}.bin")
            columns[field] = {"per": per, "dtype": DTYPES.get(field, "json"), "shape": shape} | file.finish()
        return {"clips": self.clips, "frames": self.frames, "columns": columns}

    def close(self) -> None:
        for file in self.files.values():
            file.handle.close()

    def _file(self, name: str) -> _File:
        if name not in self.files:
            self.files[name] = _File(self.folder / name)
        return self.files[name]


class _File:
    """A file that knows its size and checksum as it is written."""

    def __init__(self, path: Path) -> None:
        self.handle = path.open("wb")
        self.bytes = 0
        self.digest = hashlib.sha256()

    def write(self, data: memoryview | bytes) -> None:
        self.handle.write(data)
        self.digest.update(data)
        self.bytes += len(data)

    def finish(self) -> dict[str, Any]:
        self.handle.flush()
        os.fsync(self.handle.fileno())
        self.handle.close()
        return {"bytes": self.bytes, "sha256": self.digest.hexdigest()}


def remove_leftovers(folder: Path) -> None:
    """Remove what builds of `folder` on this machine left when they were killed; the caller holds the store's lock."""
    for leftover in folder.parent.glob(f"{_temporary_prefix(folder)}*"):
        shutil.rmtree(leftover)


def remove_store(folder: Path) -> None:
    """Remove a damaged store.

    Raises: DataError, and removes nothing, where the folder holds a file that no store has.
    """
    foreign = [path for path in folder.rglob("*") if path.is_file() and not _is_ours(path.relative_to(folder))]
    if foreign:
        raise DataError(f"{folder} is a damaged clip store, but {foreign[0]} is not part of one. Move the folder away.")
    shutil.rmtree(folder)


def _is_ours(path: Path) -> bool:
    return path == Path(MANIFEST) or (path.parent.name in SPLITS and path.suffix in (".bin", ".jsonl"))


def _temporary_prefix(folder: Path) -> str:
    # The machine is named because a process number says nothing on another one that shares the disk.
    return f".{folder.name}.{socket.gethostname()}."


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _called(clip: Clip) -> str:
    return f"The clip {clip.name!r}" if clip.name else "A clip"


def _rows(clip: Clip, size: tuple[int, int]) -> dict[str, tuple[str, np.ndarray]]:
    """field -> per "frame" or "clip", (t or 1, ...) its rows as they are stored."""
    video, action = clip.video, np.asarray(clip.action)
    if video.dtype != np.uint8 or video.ndim != 4 or not len(video) or video.shape[1:] != (*size, 3):
        raise DataError(
            f"{_called(clip)} is {video.dtype} {video.shape}; expected uint8 (frames, {size[0]}, {size[1]}, 3), at "
            "least one frame."
        )
    rows = {
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
            # A row of zeros after the last frame, so that all per-frame fields are cut alike.
            rows[field] = ("frame", np.concatenate([values, np.zeros((1, 2), values.dtype)]))
    for field, (per, values) in rows.items():
        if per == "frame" and len(values) != len(video):
            raise DataError(f"{_called(clip)} has {len(video)} frames, but {len(values)} rows of {field}.")
    return rows

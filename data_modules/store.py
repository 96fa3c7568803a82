"""The clip store: decoded clips as uint8, one memory-mapped file per split and field, checked when opened.

    <root>/stores/<name>-<hash of the source>/
        manifest.json          format, version, source; per split: clips, frames, what was skipped, and each file's
                               type, item shape, size and SHA-256
        train/video.bin        all frames of all clips, one after the other, channels first: a clip is one slice
        train/length.bin       frames of each clip
        train/identity.bin     one label a clip; and so on, little-endian
        train/name.jsonl       one JSON string a clip
        val/...  test/...

`store_writer.py` writes it, `build.py` decides when.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from data_modules.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

FORMAT = "vdsm-glass clips"
VERSION = 1
MANIFEST = "manifest.json"
NAMES = "name"

# Each field's type on disk. `action` is per clip or per frame, as the dataset has it.
DTYPES = {
    "video": "|u1",
    "length": "<i8",
    "identity": "<i8",
    "action": "<i8",
    "mask": "|u1",
    "foreground_shift": "<f4",
    "background_shift": "<f4",
    "local_action": "<i8",
    "position": "<f4",
}


class DamagedStoreError(DataError):
    """A store of ours that cannot be read; building it again mends it."""


@dataclass(frozen=True)
class Column:
    """One file of a store: a field of every clip, or of every frame."""

    path: Path
    per: Literal["frame", "clip"]
    dtype: str
    shape: tuple[int, ...]
    rows: int
    bytes: int
    sha256: str

    def open(self) -> np.ndarray:
        """(rows, *shape) read-only; nothing is read before it is touched."""
        shape = (self.rows, *self.shape)
        if not self.bytes:  # an empty file cannot be mapped
            return np.empty(shape, self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=shape)

    def check_size(self) -> None:
        """Raises: DamagedStoreError where the file is missing or has another size than was written."""
        found = self.path.stat().st_size if self.path.is_file() else None
        if found != self.bytes:
            what = "is missing" if found is None else f"has {found} bytes"
            raise DamagedStoreError(f"{self.path} {what}, expected {self.bytes} bytes.")

    def check_content(self) -> None:
        """Raises: DamagedStoreError where the bytes are not those that were written."""
        with self.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise DamagedStoreError(f"{self.path} has changed since it was written: its checksum differs.")


class StoreSplit:
    """The clips of one split. Can be sent to loader processes, which map the files themselves.

    Args:
        columns: the split's files by field.
        clips, frames: how many there are.
        skipped: how many clips the source left out, by reason.
    """

    def __init__(self, columns: Mapping[str, Column], clips: int, frames: int, skipped: Mapping[str, int]) -> None:
        self.columns = dict(columns)
        self.clips = clips
        self.total_frames = frames
        self.skipped = dict(skipped)
        self._open: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self.clips

    def __contains__(self, field: str) -> bool:
        return field in self.columns

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_ends", "names")} | {"_open": {}}

    def array(self, field: str) -> np.ndarray:
        """The whole column of `field`: (clips, ...) or (frames, ...), memory-mapped."""
        if field not in self._open:
            self._open[field] = self.columns[field].open()
        return self._open[field]

    @property
    def lengths(self) -> np.ndarray:
        """(clips,) frames of each clip."""
        return self.array("length") if self.clips else np.zeros(0, np.int64)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.lengths)

    @cached_property
    def names(self) -> list[str]:
        """What a person would call each clip."""
        return [json.loads(line) for line in self.columns[NAMES].path.read_text("utf-8").splitlines()]

    def labels(self, field: Literal["identity", "action"]) -> np.ndarray:
        """The distinct known labels of `field`, sorted."""
        found = np.unique(self.array(field)) if self.clips else np.zeros(0, np.int64)
        return found[found >= 0]

    def window(self, field: str, clip: int, start: int = 0, length: int | None = None, stride: int = 1) -> np.ndarray:
        """(length, ...) the rows of a per-frame `field` at `length` frames of `clip`, `stride` apart; a view.

        Raises: IndexError where the clip has no such frames.
        """
        frames = int(self.lengths[clip])
        length = -(-(frames - start) // stride) if length is None else length
        if not (start >= 0 and length > 0 and start + (length - 1) * stride < frames):
            raise IndexError(f"clip {clip} has {frames} frames; asked for {length} from {start}, {stride} apart")
        first = int(self._ends[clip]) - frames + start
        return self.array(field)[first : first + (length - 1) * stride + 1 : stride]

    def frames(self, clip: int, start: int = 0, length: int | None = None, stride: int = 1) -> np.ndarray:
        """(length, 3, h, w) uint8, a view; see `window`."""
        return self.window("video", clip, start, length, stride)


class Store:
    """A finished store, open for reading."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._splits = {split: _split(folder / split, manifest["splits"][split]) for split in SPLITS}

    @classmethod
    def open(cls, folder: Path, source: dict[str, Any]) -> Store:
        """The store in `folder`, every file's size checked.

        Raises:
            FileNotFoundError: there is no such folder.
            DamagedStoreError: the store is ours, but truncated or unreadable.
            DataError: the folder is not ours, of another version, or made from another source.
        """
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        manifest = _read_manifest(folder)
        if manifest.get("source") != source:
            raise DataError(
                f"{folder} holds clips made from\n  {manifest.get('source')}\nexpected\n  {source}\n"
                "Move the folder away and run the command again."
            )
        try:
            store = cls(folder, manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedStoreError(f"{folder / MANIFEST} is incomplete: {error!r}.") from error
        store.verify()
        return store

    def split(self, split: Split) -> StoreSplit:
        """The clips of `split`."""
        return self._splits[split]

    def verify(self, full: bool = False) -> None:
        """Check that all files are there at their full size and fit together; with `full`, every byte of them too.

        Raises: DamagedStoreError naming the file and what is wrong with it.
        """
        for part in self._splits.values():
            for column in part.columns.values():
                column.check_size()
                if full:
                    column.check_content()
            if part.clips and (part.lengths.min() < 1 or part.lengths.sum() != part.total_frames):
                raise DamagedStoreError(f"{part.columns['length'].path}: the lengths do not add up to the frames.")

    @property
    def bytes(self) -> int:
        """Size on disk of all splits."""
        return sum(column.bytes for part in self._splits.values() for column in part.columns.values())


def source_hash(source: dict[str, Any]) -> str:
    """Ten hexadecimal digits that name the store made from `source`; another format version, another name."""
    text = json.dumps([VERSION, source], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is not a clip store: it has no {MANIFEST}. It was left as it is; move it away, or choose "
            "another --data.root."
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DamagedStoreError(f"{path} is not JSON: {error}.") from error
    found = (manifest.get("format"), manifest.get("version")) if isinstance(manifest, dict) else (None, None)
    if found != (FORMAT, VERSION):
        raise DataError(
            f"{path} says format {found[0]!r}, version {found[1]!r}; expected {FORMAT!r}, version {VERSION}. It was "
            "left as it is; move the folder away, or choose another --data.root."
        )
    return manifest


def _split(folder: Path, entry: dict[str, Any]) -> StoreSplit:
    rows = {"clip": int(entry["clips"]), "frame": int(entry["frames"])}
    columns = {}
    for field, about in entry["columns"].items():
        if field == NAMES:
            path, itemsize = folder / f"{NAMES}.jsonl", None
        else:
            path, itemsize = folder / f"{field}.bin", np.dtype(DTYPES[field]).itemsize
        shape, per, size = tuple(about["shape"]), about["per"], int(about["bytes"])
        if itemsize is not None and size != rows[per] * prod(shape) * itemsize:
            raise ValueError(f"{field} of {rows[per]} rows of {shape} cannot have {size} bytes")
        columns[field] = Column(
            path=path,
            per=per,
            dtype=DTYPES.get(field, "json"),
            shape=shape,
            rows=rows[per],
            bytes=size,
            sha256=about["sha256"],
        )
    return StoreSplit(columns, clips=rows["clip"], frames=rows["frame"], skipped=entry["skipped"])

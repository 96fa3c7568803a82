"""The files of a clip store, memory-mapped: one per split and field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from data_modules.common.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

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
        # Seen as a plain array: a slice of np.memmap takes several times as long as one of that.
        return np.memmap(self.path, dtype=self.dtype, mode="r", shape=shape).view(np.ndarray)

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
        return {name: value for name, value in self.__dict__.items() if name not in ("first_rows", "names")} | {
            "_open": {}
        }

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
    def first_rows(self) -> np.ndarray:
        """(clips,) where each clip's frames begin in the per-frame columns."""
        return np.cumsum(self.lengths) - self.lengths

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
        first = int(self.first_rows[clip]) + start
        return self.array(field)[first : first + (length - 1) * stride + 1 : stride]

    def frames(self, clip: int, start: int = 0, length: int | None = None, stride: int = 1) -> np.ndarray:
        """(length, 3, h, w) uint8, a view; see `window`."""
        return self.window("video", clip, start, length, stride)

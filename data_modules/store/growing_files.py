"""The files of a clip store while they grow: what is in them is known at any time, so that writing can be taken up."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from einops import rearrange

from data_modules.common.errors import DataError
from data_modules.loading.clips import Clip
from data_modules.store.reader import DTYPES, NAMES

CHUNK = 1 << 20
Rows = dict[str, tuple[str, np.ndarray]]  # field -> per "frame" or "clip", (t or 1, ...) its rows
Layout = dict[str, tuple[str, tuple[int, ...]]]  # field -> per "frame" or "clip", shape of an item


class ChangedFileError(Exception):
    """A file does not begin with what was written into it."""


class GrowingFile:
    """A file that knows its size and checksum as it is written."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle
        self.bytes = 0
        self.digest = hashlib.sha256()

    @classmethod
    def create(cls, path: Path) -> GrowingFile:
        """An empty one."""
        return cls(path.open("wb"))

    @classmethod
    def take_up(cls, path: Path, state: dict[str, Any]) -> GrowingFile:
        """The file as it was at `state`; what was written after that is cut off.

        Raises: ChangedFileError where it does not hold what it held then.
        """
        with ExitStack() as on_error:
            file = cls(on_error.enter_context(path.open("r+b")))
            while chunk := file.handle.read(min(CHUNK, state["bytes"] - file.bytes)):
                file.digest.update(chunk)
                file.bytes += len(chunk)
            if file.state() != state:
                raise ChangedFileError(path)
            file.handle.truncate(file.bytes)
            on_error.pop_all()
        return file

    def write(self, data: memoryview | bytes) -> None:
        """Appends."""
        self.handle.write(data)
        self.digest.update(data)
        self.bytes += len(data)

    def state(self) -> dict[str, Any]:
        """Size and checksum of what was written so far."""
        return {"bytes": self.bytes, "sha256": self.digest.hexdigest()}

    def finish(self) -> dict[str, Any]:
        """Everything on the disk; returns the state."""
        self.handle.flush()
        os.fsync(self.handle.fileno())
        self.handle.close()
        return self.state()


class SplitFiles:
    """The files of one split, and how many clips, frames and units went into them.

    Args: state: to take them up at; none to begin.
    Raises: ChangedFileError, OSError where a file is not as it was at `state`.
    """

    def __init__(self, folder: Path, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.folder = folder
        self.clips = int(state.get("clips", 0))
        self.frames = int(state.get("frames", 0))
        self.units = int(state.get("units", 0))
        self.skipped: Counter[str] = Counter(state.get("skipped", {}))
        folder.mkdir(parents=True, exist_ok=True)
        self.files: dict[str, GrowingFile] = {}
        try:
            for name, about in state.get("files", {}).items():
                self.files[name] = GrowingFile.take_up(folder / name, about)
        except BaseException:
            self.close()
            raise

    def append(self, rows: Rows, name: str) -> None:
        """One clip."""
        for field, (_, values) in rows.items():
            self._file(f"{field}.bin").write(np.ascontiguousarray(values, DTYPES[field]).data.cast("B"))
        self._file(f"{NAMES}.jsonl").write(json.dumps(name).encode() + b"\n")
        self.clips += 1
        self.frames += len(rows["video"][1])

    def state(self) -> dict[str, Any]:
        """All that is needed to take the files up again; what is in it has been handed to the system."""
        for file in self.files.values():
            file.handle.flush()
        return {
            "clips": self.clips,
            "frames": self.frames,
            "units": self.units,
            "skipped": dict(self.skipped),
            "files": {name: file.state() for name, file in self.files.items()},
        }

    def finish(self, layout: Layout) -> dict[str, Any]:
        """Everything on the disk; the split's entry in the manifest."""
        columns = {}
        for field, (per, shape) in (layout | {NAMES: ("clip", ())}).items():
            file = self._file(f"{NAMES}.jsonl" if field == NAMES else f"{field}.bin")
            columns[field] = {"per": per, "dtype": DTYPES.get(field, "json"), "shape": shape} | file.finish()
        return {"clips": self.clips, "frames": self.frames, "columns": columns}

    def close(self) -> None:
        """Lets go of all files."""
        for file in self.files.values():
            file.handle.close()

    def _file(self, name: str) -> GrowingFile:
        if name not in self.files:
            self.files[name] = GrowingFile.create(self.folder / name)
        return self.files[name]


def called(clip: Clip) -> str:
    """The clip as a message names it."""
    return f"The clip {clip.name!r}" if clip.name else "A clip"


def rows_of(clip: Clip, size: tuple[int, int]) -> Rows:
    """The rows that `clip` adds to each field.

    Raises: DataError where it is no video of frames of `size`, or a field has another number of frames.
    """
    video, action = clip.video, np.asarray(clip.action)
    if video.dtype != np.uint8 or video.ndim != 4 or not len(video) or video.shape[1:] != (*size, 3):
        raise DataError(
            f"{called(clip)} is {video.dtype} {video.shape}; expected uint8 (frames, {size[0]}, {size[1]}, 3), at "
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
            raise DataError(f"{called(clip)} has {len(video)} frames, but {len(values)} rows of {field}.")
    return rows

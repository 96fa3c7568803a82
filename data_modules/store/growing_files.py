"""The files of a clip store while they grow: their content is known at any time, so that writing can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data_modules.store.format import DTYPES, NAMES, Layout, Per, file_name

CHUNK = 1 << 20
Rows = dict[str, tuple[Per, np.ndarray]]
"""By field, whether it has a row per frame or per clip, and a clip's rows (t or 1, ...)."""


class ChangedFileError(Exception):
    """A file does not begin with what was written into it."""


class GrowingFile:
    """A file that knows its size and checksum as it is written."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle
        self.bytes = 0
        self.digest = hashlib.sha256()

    @classmethod
    def resume(cls, path: Path, state: dict[str, Any]) -> GrowingFile:
        """The file as it was at `state`; what was written later is cut off.

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
        """Append `data`."""
        self.handle.write(data)
        self.digest.update(data)
        self.bytes += len(data)

    def state(self) -> dict[str, Any]:
        """Size and checksum of what has been written."""
        return {"bytes": self.bytes, "sha256": self.digest.hexdigest()}

    def finish(self) -> dict[str, Any]:
        """Flush everything to the disk, close the file and return its state."""
        self.handle.flush()
        os.fsync(self.handle.fileno())
        self.handle.close()
        return self.state()


class SplitFiles:
    """The files of one split, and how many clips, frames and units were written into them.

    Args: state: where to resume; None to begin.
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
                self.files[name] = GrowingFile.resume(folder / name, about)
        except BaseException:
            self.close()
            raise

    def append(self, rows: Rows, name: str) -> None:
        """Append the rows of one clip."""
        for field, (_, values) in rows.items():
            self._file(field).write(np.ascontiguousarray(values, DTYPES[field]).data.cast("B"))
        self._file(NAMES).write(json.dumps(name).encode() + b"\n")
        self.clips += 1
        self.frames += len(rows["video"][1])

    def state(self) -> dict[str, Any]:
        """All that is needed to resume, after what it describes was handed to the operating system."""
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
        """Flush everything to the disk; returns the split's entry in the manifest."""
        fields: Layout = {**layout, NAMES: ("clip", ())}
        columns = {
            field: {"per": per, "dtype": DTYPES.get(field, "json"), "shape": shape} | self._file(field).finish()
            for field, (per, shape) in fields.items()
        }
        return {"clips": self.clips, "frames": self.frames, "columns": columns}

    def close(self) -> None:
        """Close all files."""
        for file in self.files.values():
            file.handle.close()

    def _file(self, field: str) -> GrowingFile:
        name = file_name(field)
        if name not in self.files:
            self.files[name] = GrowingFile((self.folder / name).open("wb"))
        return self.files[name]

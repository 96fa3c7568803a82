"""What a clip store looks like on the disk.

<root>/stores/<name>-<hash of the source>/
    manifest.json          format, version, source, request, what the labels mean; per split: clips, frames, what was
                           skipped, and each file's type, item shape, size and SHA-256
    train/video.bin        all frames of all clips, one after the other, channels first: a clip is one slice
    train/length.bin       frames of each clip
    train/identity.bin     one label a clip; and so on, little-endian
    train/name.jsonl       one JSON string a clip
    val/...  test/...

`writer.py` writes it, `reader.py` reads it, `build.py` decides when it is built.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from data_modules.common.errors import MALFORMED, DataError

FORMAT = "vdsm-glass clips"
VERSION = 2
MANIFEST = "manifest.json"

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

NAMES = "name"
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
"""Each field's type on disk. `action` is per clip or per frame, depending on the dataset."""

Per = Literal["frame", "clip"]
Layout = dict[str, tuple[Per, tuple[int, ...]]]
"""By field, whether it has a row per frame or per clip, and the shape of a row."""


class DamagedStoreError(DataError):
    """A store of ours cannot be read; building it again repairs it."""


@dataclass(frozen=True)
class Column:
    """One file of a store: a field of every clip, or of every frame."""

    path: Path
    per: Per
    shape: tuple[int, ...]
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def from_manifest(cls, folder: Path, field: str, about: dict[str, Any], rows: dict[Per, int]) -> Column:
        """The file of `field` in a split's `folder`.

        Args: about: its entry in the manifest; rows: how many clips and frames the split has.
        Raises: KeyError, TypeError, ValueError where the entry is incomplete or contradicts itself.
        """
        path = folder / file_name(field)
        column = cls(
            path, about["per"], tuple(about["shape"]), rows[about["per"]], int(about["bytes"]), about["sha256"]
        )
        if field != NAMES:
            expected = column.rows * prod(column.shape) * np.dtype(DTYPES[field]).itemsize
            if column.bytes != expected:
                raise ValueError(f"{field} of {column.rows} rows of {column.shape} cannot have {column.bytes} bytes")
        return column

    def here(self) -> Path:
        """The file, on this machine.  Raises: DataError where it has to be fetched and cannot be."""
        return self.path

    def open(self) -> np.ndarray:
        """(rows, *shape), read-only and memory-mapped: nothing is read before it is used.  Raises: as `here`."""
        shape, dtype = (self.rows, *self.shape), DTYPES[self.path.stem]
        if not self.bytes:  # an empty file cannot be mapped
            return np.empty(shape, dtype)
        # Seen as a plain array: a slice of np.memmap takes several times as long as one of that.
        return np.memmap(self.here(), dtype=dtype, mode="r", shape=shape).view(np.ndarray)

    def check_size(self) -> None:
        """Raises: DamagedStoreError where the file is missing or has another size than was written."""
        found = self.path.stat().st_size if self.path.is_file() else None
        if found != self.bytes:
            what = "is missing" if found is None else f"has {found} bytes"
            raise DamagedStoreError(f"{self.path} {what}, expected {self.bytes} bytes.")

    def check_content(self) -> None:
        """Raises: DamagedStoreError where the bytes are not those that were written."""
        with self.here().open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise DamagedStoreError(f"{self.path} has changed since it was written: its checksum differs.")


def file_name(field: str) -> str:
    """The name of a field's file in a split's folder."""
    return f"{field}.jsonl" if field == NAMES else f"{field}.bin"


def source_hash(source: dict[str, Any]) -> str:
    """Ten hexadecimal digits that name the store made from `source`; another format version gives another name."""
    text = json.dumps([VERSION, source], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the store in `folder`.

    Raises: DamagedStoreError where it is not JSON; DataError where there is none, or one of another format or version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is not a clip store: it has no {MANIFEST}. It was left as it is; move it away, or choose "
            "another --data.root."
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except MALFORMED as error:
        raise DamagedStoreError(f"{path} is not JSON: {error}.") from error
    found = (manifest.get("format"), manifest.get("version")) if isinstance(manifest, dict) else (None, None)
    if found != (FORMAT, VERSION):
        raise DataError(
            f"{path} says format {found[0]!r}, version {found[1]!r}; expected {FORMAT!r}, version {VERSION}. It was "
            "left as it is; move the folder away, or choose another --data.root."
        )
    return manifest

"""The clip store: decoded clips as uint8, one memory-mapped file per split and field, checked when opened.

    <root>/stores/<name>-<hash of the source>/
        manifest.json          format, version, source, request, what the labels mean; per split: clips, frames, what
                               was skipped, and each file's type, item shape, size and SHA-256
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
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.common.errors import DataError
from data_modules.store.columns import DTYPES, NAMES, SPLITS, Column, DamagedStoreError, Split, StoreSplit
from data_modules.store.labels import Labels

FORMAT = "vdsm-glass clips"
VERSION = 2
MANIFEST = "manifest.json"


class Store:
    """A finished store, open for reading."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._splits = {split: _split(folder / split, manifest["splits"][split]) for split in SPLITS}
        self.labels = Labels.from_json(manifest["labels"])

    @classmethod
    def open(cls, folder: Path, source: dict[str, Any] | None) -> Store:
        """The store in `folder`, every file's size checked.

        Args: source: what it must be made from; None if that does not matter.
        Raises:
            FileNotFoundError: there is no such folder.
            DamagedStoreError: the store is ours, but truncated or unreadable.
            DataError: the folder is not ours, of another version, or made from another source.
        """
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        manifest = _read_manifest(folder)
        if source is not None and manifest.get("source") != source:
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

    def names(self, field: Literal["identity", "action"]) -> list[str]:
        """What to call each label of `field`."""
        if named := getattr(self.labels, field):
            return list(named)
        found = np.concatenate([part.labels(field) for part in self._splits.values()])
        return [f"{field} {label}" for label in range(found.max(initial=-1) + 1)]

    @property
    def bytes(self) -> int:
        """Size on disk of all splits."""
        return sum(column.bytes for part in self._splits.values() for column in part.columns.values())


def made_earlier(stores: Path, request: dict[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and source of the stores in `stores` that were made from real files on the same request, newest first.

    Args: request: what `VideoDataModule.request` says: all but the files themselves.
    """
    found = []
    for folder in stores.glob(f"{request['dataset']}-*"):
        try:
            manifest = _read_manifest(folder)
        except DataError:  # whoever asks for it by name is told what is wrong with it
            continue
        if manifest.get("request") == request and not manifest.get("stand_in"):
            found.append(((folder / MANIFEST).stat().st_mtime, folder, manifest["source"]))
    return [(folder, source) for _, folder, source in sorted(found, key=lambda each: each[0], reverse=True)]


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
    if rows["clip"] and (missing := {NAMES, "length", "video"} - entry["columns"].keys()):
        raise ValueError(f"no {' and no '.join(sorted(missing))} of {rows['clip']} clips")
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

"""A finished clip store, open for reading: memory-mapped, and checked when it is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.common.errors import MALFORMED, DataError
from data_modules.store.clip_source import Labels
from data_modules.store.format import MANIFEST, NAMES, SPLITS, Column, DamagedStoreError, Per, Split, read_manifest


class StoreSplit:
    """The clips of one split. Can be sent to loader processes, which map the files themselves.

    Args: columns, the split's files by field; skipped, how many clips the source left out, by reason.
    """

    def __init__(self, columns: Mapping[str, Column], clips: int, frames: int, skipped: Mapping[str, int]) -> None:
        self.columns = dict(columns)
        self.clips = clips
        self.total_frames = frames
        self.skipped = dict(skipped)
        self._open: dict[str, np.ndarray] = {}

    @classmethod
    def from_manifest(cls, folder: Path, entry: dict[str, Any]) -> StoreSplit:
        """Raises: KeyError, TypeError, ValueError, AttributeError where the manifest's `entry` is malformed."""
        rows: dict[Per, int] = {"clip": int(entry["clips"]), "frame": int(entry["frames"])}
        if rows["clip"] and (missing := {NAMES, "length", "video"} - entry["columns"].keys()):
            raise ValueError(f"no {' and no '.join(sorted(missing))} of {rows['clip']} clips")
        columns = {field: Column.from_manifest(folder, field, about, rows) for field, about in entry["columns"].items()}
        return cls(columns, clips=rows["clip"], frames=rows["frame"], skipped=entry["skipped"])

    def __len__(self) -> int:
        return self.clips

    def __contains__(self, field: str) -> bool:
        return field in self.columns

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in self.__dict__.items() if name not in ("first_rows", "names")}
        return kept | {"_open": {}}

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
        return [json.loads(line) for line in self.columns[NAMES].here().read_text("utf-8").splitlines()]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(column.bytes for column in self.columns.values())

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


class Store:
    """A finished store, open for reading."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        splits = manifest["splits"]
        self._splits = {split: StoreSplit.from_manifest(folder / split, splits[split]) for split in SPLITS}
        self.labels = Labels.from_json(manifest["labels"])

    @classmethod
    def open(cls, folder: Path, source: dict[str, Any] | None) -> Store:
        """The store in `folder`; the size of every file is checked.

        Args: source: what it must be made from; None if that does not matter.
        Raises:
            FileNotFoundError: there is no such folder.
            DamagedStoreError: the store is ours, but truncated or unreadable.
            DataError: the folder is not ours, of another version, or made from another source.
        """
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        manifest = read_manifest(folder)
        if source is not None and manifest.get("source") != source:
            raise DataError(
                f"{folder} holds clips made from\n  {manifest.get('source')}\nexpected\n  {source}\n"
                "Move the folder away and run the command again."
            )
        try:
            store = cls(folder, manifest)
        except MALFORMED as error:
            raise DamagedStoreError(f"{folder / MANIFEST} is incomplete: {error!r}.") from error
        store.verify()
        return store

    def split(self, split: Split) -> StoreSplit:
        """The clips of `split`."""
        return self._splits[split]

    def verify(self, full: bool = False) -> None:
        """Check that all files are there at their full size and fit together; with `full`, also every byte of them.

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
        return sum(part.bytes for part in self._splits.values())


def made_earlier(stores: Path, request: dict[str, Any]) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and source of the stores in `stores` that were made from real files on the same request, newest first.

    Args: request: what `ClipSource.request` says: all that the clips depend on except the files' content.
    """
    found = []
    for folder in stores.glob(f"{request['dataset']}-*"):
        try:
            manifest = read_manifest(folder)
        except DataError:  # opening that store by its name says what is wrong with it
            continue
        if manifest.get("request") == request and not manifest.get("stand_in"):
            found.append(((folder / MANIFEST).stat().st_mtime, folder, manifest["source"]))
    return [(folder, source) for _, folder, source in sorted(found, key=lambda each: each[0], reverse=True)]

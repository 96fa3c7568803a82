"""BAIR: a robot arm pushes things over a table.  [Ebert et al., CoRL 2017; at 256: Menapace et al., CVPR 2021]"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_modules.common.errors import DataError, MissingSourceError
from data_modules.drawings import tiny_video
from data_modules.drawings.tiny import write_once
from data_modules.shared import splits
from data_modules.shared.recordings import RecordedVideos, Recordings, split_folders
from data_modules.sources.frames import resize
from data_modules.sources.softmotion import SIDE, find_records, read_trajectory
from data_modules.sources.tfrecord import Record
from data_modules.store.format import SPLITS, Split

Layout = Literal["auto", "folders", "tfrecord"]
LONGEST = 256
ORIGINAL = "softmotion30_44k"


class BAIR(RecordedVideos):
    """The BAIR robot pushing dataset, about 44 000 clips of 30 frames; identity and action are unknown.

    The test split is the dataset's. Where there is no validation, a part of the training clips is taken. A store of all
    clips takes 260 GB at 256 and 16 GB at 64.

    Args:
        layout: "folders" for `ROOT/bair/{train,val,test}/NNNNN/*.png` of 256 x 256 pixels, "tfrecord" for the original
            `ROOT/bair/softmotion30_44k/{train,test}/*.tfrecords` of 64 x 64, "auto" for whichever is there.
        size: height and width of a frame in pixels; by default 64 for the layout "tfrecord", else 256.
        validation_part: part of the training clips that are for validation, where the dataset has none.
        split_seed: of that choice; `seed` is that of the training order.
    """

    name = "bair"
    rights = "The BAIR robot pushing dataset (Ebert et al.): see its owners' terms."

    def __init__(
        self,
        *,
        layout: Layout = "auto",
        size: int | tuple[int, int] | None = None,
        validation_part: float = 0.05,
        split_seed: int = 0,
        clip_length: int = 6,
        **kwargs: Any,
    ) -> None:
        own_size = SIDE if layout == "tfrecord" else 256
        super().__init__(size=own_size if size is None else size, clip_length=clip_length, **kwargs)
        self.layout: Layout = layout
        self.validation_part = validation_part
        self.split_seed = split_seed
        self._check_part("validation_part")
        self._check_least(0, "split_seed")

    @property
    def folder(self) -> Path:
        if self.tiny:
            layout = "tfrecord" if self.layout == "tfrecord" else f"folders-{self._longest_window}"
            return self.root / "drawn" / f"bair-{layout}-{tiny_video.VERSION}"
        return self.root / self.location

    @property
    def location(self) -> str:
        return "bair"

    def draw_tiny(self) -> None:
        if self.layout == "tfrecord":
            write_once(self.folder, lambda folder: tiny_video.write_softmotion(folder / ORIGINAL))
        else:
            write_once(self.folder, lambda folder: tiny_video.write_pushes(folder, frames=self._longest_window))

    def find(self) -> Recordings:
        found: list[Recordings] = []
        if self.layout in ("auto", "folders"):
            pictures = split_folders(
                self.folder, validation_part=self.validation_part, split_seed=self.split_seed, longest=LONGEST
            )
            found += [] if pictures is None else [pictures]
        original = self.folder / ORIGINAL
        if self.layout in ("auto", "tfrecord") and (original / "train").is_dir() and (original / "test").is_dir():
            found.append(Softmotion(original, self.validation_part, self.split_seed))
        if len(found) == 2:
            raise DataError(
                f"{self.folder}: holds BAIR twice, as folders and as TFRecords. Say which with --data.layout."
            )
        if not found:
            raise MissingSourceError(
                f"BAIR is not in {self.folder.absolute()}.\n"
                "At 64x64, download and unpack\n"
                "    http://rail.eecs.berkeley.edu/datasets/bair_robot_pushing_dataset_v0.tar\n"
                "so that there are\n"
                f"    {self.folder}/{ORIGINAL}/train/*.tfrecords and {self.folder}/{ORIGINAL}/test/*.tfrecords\n"
                "and set layout: tfrecord. At 256x256, follow the links to bair_256_ours.tar.gz at\n"
                "    https://github.com/willi-menapace/PlayableVideoGeneration\n"
                "so that there are\n"
                f"    {self.folder}/train/00000/00000.png, and so on; val and test beside train\n"
                "To try the code without it, set --data.tiny true: an arm that our code draws."
            )
        if isinstance(found[0], Softmotion) and (self.height, self.width) != (SIDE, SIDE):
            found[0].remarks = [f"the TFRecords' frames of 64x64 become {self.height}x{self.width}."]
        return found[0]

    def source(self) -> dict[str, Any]:
        return self._options("layout", "validation_part", "split_seed")


class Softmotion(Recordings):
    """The original TFRecords: `FOLDER/{train,test}/*.tfrecords`; a seeded part of train is for validation."""

    def __init__(self, folder: Path, validation_part: float, split_seed: int) -> None:
        self.folder = folder
        train, test = find_records(folder / "train"), find_records(folder / "test")
        if not (train and test):
            raise DataError(f"{folder}: {len(train)} training and {len(test)} test records. Is all of it there?")
        shares: dict[Split, list[Record]] = {"train": train, "val": [], "test": test}
        self.shares = splits.with_validation(shares, validation_part, split_seed, f"records in {folder}/train")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for split in SPLITS:
            for record in self.shares[split]:
                digest.update(os.fsencode(f"{split} {record.path.name} {record.offset} {record.length}\n"))
        return digest.hexdigest()

    def read(self, unit: Record, *, height: int, width: int, **_: Any) -> Iterator[tuple[str, np.ndarray]]:
        name = f"{unit.path.relative_to(self.folder).as_posix()}[{unit.offset}]"
        yield name, resize(read_trajectory(unit).video, height, width)

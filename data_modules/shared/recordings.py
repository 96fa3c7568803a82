"""What datasets of recordings without labels share: videos that lie somewhere, each of one split."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data_modules.base import Split, VideoDataModule
from data_modules.common.errors import DataError
from data_modules.drawings import tiny_video
from data_modules.loading.clips import Clip
from data_modules.shared import splits
from data_modules.sources.collection import Video, find_videos, fingerprint
from data_modules.sources.frames import Shape
from data_modules.store.reader import SPLITS

log = logging.getLogger(__name__)


class Recordings(Protocol):
    """The videos of a dataset, shared out over the splits.

    remarks: what the user should know of them once, when the store is built.
    """

    remarks: list[str]

    def fingerprint(self) -> str:
        """Changes when the recordings or their splits do."""
        ...

    def units(self, split: Split) -> Sequence[Any]:
        """What can be read one by one."""
        ...

    def count(self, split: Split) -> int | None:
        """How many clips the units make; None where only reading tells."""
        ...

    def read(self, unit: Any, *, height: int, width: int, skipped: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Name and frames, (t, height, width, 3) uint8, of each clip of `unit`; `skipped` counts what is left out."""
        ...


class RecordedVideos(VideoDataModule):
    """A dataset of recordings: identity and action are unknown."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the recordings are looked for."""

    @abstractmethod
    def find(self) -> Recordings:
        """The recordings in `folder`.

        Raises: MissingSourceError, with where to get them and where to put them; DataError where they are malformed.
        """

    @abstractmethod
    def draw(self) -> None:
        """Write the tiny source to `folder`, unless it is there."""

    @cached_property
    def recordings(self) -> Recordings:
        """As `find`, once."""
        return self.find()

    def fingerprint(self) -> dict[str, Any]:
        if self.tiny:
            return {"recordings": f"drawn, version {tiny_video.VERSION}, {self.folder.name}"}
        return {"recordings": self._fingerprint}

    def obtain(self) -> None:
        if self.tiny:
            self.draw()
        for remark in self.recordings.remarks:
            log.warning("%s: %s", self.name, remark)

    def units(self, split: Split) -> Sequence[Any]:
        return self.recordings.units(split)

    def read_unit(self, unit: Any) -> Iterator[Clip]:
        for name, video in self.recordings.read(unit, height=self.height, width=self.width, skipped=self.skipped):
            yield Clip(video=video, name=name)

    def count(self, split: Split) -> int | None:
        return self.recordings.count(split)

    @cached_property
    def _fingerprint(self) -> str:
        return self.recordings.fingerprint()

    @property
    def _training_window(self) -> int:
        """Frames that a drawn training video has: some more than a clip needs, so that there is a choice."""
        return (self.clip_length - 1) * self.largest_stride + 3

    @property
    def _evaluation_window(self) -> int:
        """Frames that a drawn validation or test video has."""
        return (self.eval_clip_length - 1) * self.eval_stride + 1

    @property
    def _longest_window(self) -> int:
        return max(self._training_window, self._evaluation_window)


class SplitVideos:
    """Films and folders of pictures, each of one split.

    Args:
        shares: the videos by split.
        shape, every: how pictures are made to fit, and which are taken.
        longest: frames of a clip at most; longer videos make several, all of the same split.
        skip_damaged: leave a video out from where it is damaged, instead of stopping.
    """

    def __init__(
        self,
        shares: Mapping[Split, Sequence[Video]],
        *,
        shape: Shape = "crop",
        every: int = 1,
        longest: int,
        skip_damaged: bool = False,
        remarks: Sequence[str] = (),
    ) -> None:
        self.remarks = list(remarks)
        self.shares = shares
        self.shape: Shape = shape
        self.every = every
        self.longest = longest
        self.skip_damaged = skip_damaged

    def fingerprint(self) -> str:
        return " ".join(fingerprint(list(self.shares[split])) for split in SPLITS)

    def count(self, split: Split) -> int | None:
        pictures = [video.pictures for video in self.shares[split]]
        if None in pictures:
            return None
        return sum(ceil(ceil(number / self.every) / self.longest) for number in pictures if number)

    def units(self, split: Split) -> Sequence[Video]:
        return self.shares[split]

    def read(self, unit: Video, *, height: int, width: int, skipped: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        try:
            yield from unit.pieces(height=height, width=width, shape=self.shape, every=self.every, longest=self.longest)
        except DataError as error:
            if not self.skip_damaged:
                raise
            log.warning("%s", error)
            skipped["damaged"] += 1


def split_folders(folder: Path, *, validation_part: float, split_seed: int, longest: int) -> SplitVideos | None:
    """`FOLDER/{train,val,test}/NNNNN/00000.png`, the Playable Video Generation layout; None where it is not there.

    Metadata beside the pictures (*.pkl) are never opened.  [Menapace et al., Playable Video Generation, CVPR 2021]

    Args: validation_part, split_seed: which of the training sequences are for validation where none are given.
    Raises: DataError where there are too few.
    """
    if not folder.is_dir():
        return None
    videos = [video for video in find_videos(folder) if video.path.is_dir()]
    shares = splits.by_folder([video.name for video in videos], videos)
    if not (shares["train"] and shares["test"]):
        return None
    return SplitVideos(splits.with_validation(shares, validation_part, split_seed, "sequences"), longest=longest)

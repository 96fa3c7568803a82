"""What datasets of recordings without labels share: videos in files, each of them, or of their parts, in one split."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError
from data_modules.drawings import tiny_video
from data_modules.shared import splits
from data_modules.sources.collection import Video, find_videos, fingerprint
from data_modules.sources.frames import Shape
from data_modules.store.clip_source import Clip
from data_modules.store.format import SPLITS, Split

log = logging.getLogger(__name__)


class Recordings(ABC):
    """The videos of a dataset, shared out over the splits.

    Args: shares, by split, what can be read one by one; remarks, for the user, once, when the store is built.
    """

    shares: Mapping[Split, Sequence[Any]]
    remarks: Sequence[str] = ()

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the recordings or their splits do."""

    def units(self, split: Split) -> Sequence[Any]:
        return self.shares[split]

    def count(self, split: Split) -> int | None:
        """How many clips the units make; None where that is not known before they are read."""
        return len(self.shares[split])

    @abstractmethod
    def read(self, unit: Any, *, height: int, width: int, skipped: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Name and frames, (t, height, width, 3) uint8, of each clip of `unit`; `skipped` counts what is left out."""


class RecordedVideos(VideoDataModule):
    """A dataset of recordings: identity and action are unknown."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the recordings, or their tiny copy, are looked for."""

    @abstractmethod
    def find(self) -> Recordings:
        """The recordings in `folder`.

        Raises: MissingSourceError, with where to get them and where to put them; DataError where they are malformed.
        """

    @cached_property
    def recordings(self) -> Recordings:
        """What `find` returned when it was called first."""
        return self.find()

    @cached_property
    def _fingerprint(self) -> str:
        return self.recordings.fingerprint()

    def fingerprint(self) -> dict[str, Any]:
        if self.tiny:
            return {"recordings": f"drawn, version {tiny_video.VERSION}, {self.folder.name}"}
        return {"recordings": self._fingerprint}

    def obtain(self) -> None:
        super().obtain()
        for remark in self.recordings.remarks:
            log.warning("%s: %s", self.name, remark)

    def units(self, split: Split) -> Sequence[Any]:
        return self.recordings.units(split)

    def read_unit(self, unit: Any) -> Iterator[Clip]:
        for name, video in self.recordings.read(unit, height=self.height, width=self.width, skipped=self.skipped):
            yield Clip(video=video, name=name)

    def count(self, split: Split) -> int | None:
        return self.recordings.count(split)

    @property
    def _training_window(self) -> int:
        """Frames of a drawn training video: two more than a clip spans, so that there is a choice of windows."""
        return (self.clip_length - 1) * self.largest_stride + 3

    @property
    def _evaluation_window(self) -> int:
        """Frames that a validation or test clip spans."""
        return (self.eval_clip_length - 1) * self.eval_stride + 1

    @property
    def _longest_window(self) -> int:
        return max(self._training_window, self._evaluation_window)


class SplitVideos(Recordings):
    """Films and folders of pictures, each of one split.

    Args:
        shares: the videos by split.
        shape, every: how pictures are made to fit, and which are taken.
        longest: frames of a clip at most; longer videos make several clips, all of the same split.
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
        self.shares = shares
        self.shape: Shape = shape
        self.every = every
        self.longest = longest
        self.skip_damaged = skip_damaged
        self.remarks = remarks

    def fingerprint(self) -> str:
        return " ".join(fingerprint(self.shares[split]) for split in SPLITS)

    def count(self, split: Split) -> int | None:
        numbers = [video.known_frames for video in self.units(split)]
        if None in numbers:
            return None
        longest = [self.longest_clip(video) for video in self.units(split)]
        return sum(ceil(ceil(n / self.every) / most) for n, most in zip(numbers, longest, strict=True) if n)

    def longest_clip(self, video: Video) -> int:  # noqa: ARG002
        """How many frames a stored clip of `video` has at most."""
        return self.longest

    def read(self, unit: Video, *, height: int, width: int, skipped: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        longest = self.longest_clip(unit)
        try:
            yield from unit.pieces(height=height, width=width, shape=self.shape, every=self.every, longest=longest)
        except DataError as error:
            if not self.skip_damaged:
                raise
            log.warning("%s", error)
            skipped["damaged"] += 1


class VideosInTime(SplitVideos):
    """Films and folders of pictures, each cut in time: its beginning is for training, its end for the test.

    The parts for validation and test are stored as clips of `gap` frames, because an evaluation takes one window of
    each clip, its first.

    Args: parts, gap: see `splits.in_time`; the gap counts frames that are taken, every `every`-th, and is not 0.
    """

    def __init__(
        self, videos: Sequence[Video], parts: Sequence[float], gap: int, *, remarks: Sequence[str], **options: Any
    ) -> None:
        self.videos = videos
        self.parts = parts
        self.gap = gap
        ratio = ":".join(f"{part:g}" for part in parts)
        remark = (
            "every video is split in time: its beginning is for training, then comes validation, its end is for the"
            f" test, in the ratio of {ratio}. {gap} frames between two parts, at least one clip's length, are left out,"
            " so that no frame is nearly in two splits."
        )
        super().__init__(dict.fromkeys(SPLITS, videos), remarks=[*remarks, remark], **options)

    def units(self, split: Split) -> Sequence[Video]:
        """The parts of all videos that are in `split`.  Raises: DataError where a video is too short."""
        return self._cut[split]

    @cached_property
    def _cut(self) -> Mapping[Split, Sequence[Video]]:
        # Only when clips are read, because films have to be opened for it.
        found: dict[Split, list[Video]] = {split: [] for split in SPLITS}
        for video in self.videos:
            end = min(video.count_frames(), video.stop or sys.maxsize)
            total = end - video.first
            ranges = splits.in_time(ceil(total / self.every), self.parts, self.gap)
            if ranges is None:
                least = (splits.least_in_time(self.gap) - 1) * self.every + 1
                raise DataError(
                    f"{video.path}: has {total} frames, too few to split in time; expected at least {least}: train, "
                    f"val and test of {self.gap * self.every} frames each, and two gaps as long between them. Add "
                    "videos (of three or more, each is in one split), or choose a smaller gap, clip_length or stride."
                )
            for split, part in ranges.items():
                first, stop = (video.first + side * self.every for side in (part.start, part.stop))
                found[split].append(replace(video, first=first, stop=min(end, stop)))
        return found

    def longest_clip(self, video: Video) -> int:
        return self.longest if video in self._cut["train"] else min(self.longest, self.gap)

    def fingerprint(self) -> str:
        return f"{fingerprint(self.videos)} in time, {self.gap} apart"


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

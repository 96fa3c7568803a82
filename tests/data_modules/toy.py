"""A data set of which everything is known: a square that wanders over a drifting background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.base import Split, VideoDataModule
from data_modules.store.clip_source import Clip
from data_modules.store.format import SPLITS

HEIGHT, WIDTH, SIDE = 16, 24, 5


class Toy(VideoDataModule):
    """Clips of 9 to 13 frames, all labels known; `log` gets a line for every clip read.

    Args: clips, per split; identities; labels_per_frame, actions too; log, a file.
    """

    name = "toy"

    def __init__(
        self,
        *,
        clips: int = 10,
        identities: int = 3,
        labels_per_frame: bool = False,
        log: Path | None = None,
        size: tuple[int, int] = (HEIGHT, WIDTH),
        **kwargs: Any,
    ) -> None:
        super().__init__(size=size, **kwargs)
        self.clips = clips
        self.identities = identities
        self.labels_per_frame = labels_per_frame
        self.log = log

    def source(self) -> dict[str, Any]:
        return {"clips": self.clips, "identities": self.identities, "labels_per_frame": self.labels_per_frame}

    def read(self, split: Split) -> Iterator[Clip]:
        for number in range(self.clips):
            if self.log is not None:
                with self.log.open("a") as file:
                    file.write(f"{split} {number}\n")
            yield self.clip(split, number)
        self.skipped["too dull"] += 2

    def count(self, split: Split) -> int:
        return self.clips

    def clip(self, split: Split, number: int) -> Clip:
        generator = np.random.default_rng([SPLITS.index(split), number])
        frames = 9 + number % 5
        corner = generator.integers(0, (WIDTH - SIDE, HEIGHT - SIDE), (frames, 2))
        video = generator.integers(0, 100, (frames, self.height, self.width, 3), dtype=np.uint8)
        mask = np.zeros(video.shape[:3], np.uint8)
        for frame, (x, y) in enumerate(corner):
            mask[frame, y : y + SIDE, x : x + SIDE] = 1
        video[mask == 1] = 200
        actions = generator.integers(0, 4, frames)
        return Clip(
            video=video,
            identity=number % self.identities,
            action=actions if self.labels_per_frame else number % 4,
            name=f"{split}/clip ä {number}",
            mask=mask,
            foreground_shift=np.diff(corner, axis=0).astype(np.float32),
            background_shift=generator.normal(size=(frames - 1, 2)).astype(np.float32),
            local_action=actions,
            position=corner.astype(np.float32) + (SIDE - 1) / 2,
        )


class ToyUnits(Toy):
    """The same clips, two to a unit; every unit leaves one out."""

    def units(self, split: Split) -> list[tuple[Split, int]]:
        return [(split, first) for first in range(0, self.clips, 2)]

    def read_unit(self, unit: tuple[Split, int]) -> Iterator[Clip]:
        split, first = unit
        for number in range(first, min(first + 2, self.clips)):
            if self.log is not None:
                with self.log.open("a") as file:
                    file.write(f"{split} {number}\n")
            yield self.clip(split, number)
        self.skipped["too dull"] += 1

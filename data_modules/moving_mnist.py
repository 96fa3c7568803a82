"""Moving MNIST: digits bounce between the walls of the frame.  [Srivastava, Mansimov & Salakhutdinov, 2015]"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from einops import rearrange, repeat

from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError, MissingSourceError, UserError
from data_modules.drawings import tiny
from data_modules.sources.frames import resize
from data_modules.sources.idx import FILES, mnist_files, read_mnist
from data_modules.sources.remote_files import MNIST
from data_modules.store.clip_source import Clip, Labels, StandIn
from data_modules.store.format import SPLITS, Split

CANVAS, DIGIT = 64, 28
ROOM = CANVAS - DIGIT
"""How many pixels a digit can move, each way."""
HELD_OUT = 5_000 / 60_000
"""The last 5000 of MNIST's training digits are for validation."""
FALLBACK_TEST = 0.2
SMALL_DIGITS = {"source": f"scikit-learn's, version {tiny.VERSION}"}
UNIT = 100
"""Clips that a process reads in one go."""


@dataclass(frozen=True)
class Digits:
    """Images (n, 28, 28) uint8 and what digits they show, (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __getitem__(self, chosen: slice | np.ndarray) -> Digits:
        return Digits(self.images[chosen], self.labels[chosen])


class MovingMNIST(VideoDataModule):
    """Digits bounce with constant speed; identity is the digit, action its motion.

    The action is a slope and a speed. A bounce changes neither, so that the label holds for every window of a clip.
    With S slopes, the k-th is (k + 1/2 ± 1/4) 90°/S from the horizontal. Where a digit starts, and whether it goes left
    or right, up or down, is drawn for every clip. Motion is drawn independently of the digit.

    With two digits a <= b, of motions u and v out of M: identity 10a + b, action u·M + v, the brighter pixel of both.

    Args:
        idx: folder of MNIST's four IDX files, plain or .gz; by default `ROOT/mnist`, or where that is missing,
            scikit-learn's 1797 digits, enlarged.
        download: fetch missing files; by default `vdsm-glass prepare` does, and training does not.
        digits: in a frame.
        slopes: how many classes of slope.
        speeds: the classes of speed, pixels a frame at 64 x 64.
        frames: of a stored clip.
        train_clips, val_clips, test_clips: how many are stored, each made of the digits of its own split: MNIST's test
            digits are in the test only, the last twelfth of its training digits in the validation only.
        simulation_seed: of the clips; `seed` is that of the training order.
    """

    name = "mmnist"
    rights = "Moving MNIST, made of the MNIST digits (LeCun, Cortes, Burges), or of scikit-learn's digits."

    def __init__(
        self,
        *,
        idx: str | None = None,
        download: bool | None = None,
        digits: Literal[1, 2] = 1,
        slopes: int = 2,
        speeds: tuple[float, ...] = (2.0, 4.0),
        frames: int = 16,
        train_clips: int = 10_000,
        val_clips: int = 500,
        test_clips: int = 1_000,
        simulation_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.height != self.width:
            raise UserError(f"mmnist: size is {self.height}x{self.width}; expected a square.")
        if self.flip:
            raise UserError("mmnist: mirrored digits are not digits. Leave flip off.")
        if slopes < 1 or not speeds or not all(0 < speed <= ROOM for speed in speeds):
            raise UserError(
                f"mmnist: {slopes} slopes and speeds {list(speeds)}; expected at least one of each, and speeds"
                f" above 0 and up to {ROOM} pixels a frame."
            )
        self.idx = idx
        self.download = download
        self.digits = digits
        self.slopes = slopes
        self.speeds = tuple(speeds)
        self.frames = frames
        self.clips: dict[Split, int] = {"train": train_clips, "val": val_clips, "test": test_clips}
        if self.tiny:
            self.clips = {"train": 40, "val": 10, "test": 20}
        if min(frames, *self.clips.values()) < 1:
            raise UserError(f"mmnist: {frames} frames and {self.clips} clips; expected at least 1 of each.")
        self.simulation_seed = simulation_seed

    @property
    def folder(self) -> Path:
        """Where the IDX files, or their tiny copy, are looked for."""
        if self.tiny:
            return self.root / "drawn" / f"mnist-tiny-{tiny.VERSION}"
        return self.root / "mnist" if self.idx is None else Path(self.idx)

    @property
    def location(self) -> str:
        return self.idx or "mnist"

    def draw_tiny(self) -> None:
        tiny.write_once(self.folder, lambda folder: tiny.write_mnist(folder, train=240, test=40))

    def fetch(self) -> bool:
        if self.idx is not None and not self.download:
            return False  # the folder that was named may be misspelt
        MNIST.fetch(self.folder)
        return True

    def stand_in(self) -> StandIn | None:
        if self.idx is not None or self.folder.is_dir():
            return None
        return StandIn(
            SMALL_DIGITS,
            f"No MNIST in {self.folder}: these are the 1797 digits that come with scikit-learn, enlarged from 8x8"
            " pixels. `vdsm-glass prepare mmnist` downloads the real ones; or put MNIST's IDX files there, or set"
            " --data.idx.",
        )

    def fingerprint(self) -> dict[str, Any]:
        if self.tiny:
            return SMALL_DIGITS
        files = mnist_files(self.folder)
        if files is None:
            expected = ", ".join(f"{name}.gz" for names in FILES.values() for name in names)
            raise MissingSourceError(
                f"{self.folder}: MNIST is not there or not whole. Expected {expected}, gzipped or not. Get them from"
                f" {MNIST.page}, or let --download true do it."
            )
        digest = hashlib.sha256()
        for path in (path for part in FILES for path in files[part]):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return {"source": digest.hexdigest()}

    def source(self) -> dict[str, Any]:
        return self._options("digits", "slopes", "speeds", "frames", "clips", "simulation_seed")

    def count(self, split: Split) -> int:
        return self.clips[split]

    def units(self, split: Split) -> list[tuple[Split, range]]:
        clips = range(self.clips[split])
        return [(split, clips[first : first + UNIT]) for first in clips[::UNIT]]

    def read_unit(self, unit: tuple[Split, range]) -> Iterator[Clip]:
        split, indices = unit
        pool = self.pools[split]
        for index in indices:
            yield self.clip(pool, np.random.default_rng([self.simulation_seed, SPLITS.index(split), index]), index)

    def clip(self, pool: Digits, generator: np.random.Generator, index: int) -> Clip:
        """One clip; everything random in it comes from `generator`."""
        chosen = generator.integers(len(pool.images), size=self.digits)
        drawn = [self._motion(generator) for _ in chosen]
        order = np.argsort(pool.labels[chosen], kind="stable")
        shown = pool[chosen[order]]
        motions, paths = zip(*(drawn[place] for place in order), strict=True)

        canvas = np.zeros((self.frames, CANVAS, CANVAS), dtype=np.uint8)
        for image, corners in zip(shown.images, paths, strict=True):
            for frame, (x, y) in zip(canvas, np.rint(corners).astype(int), strict=True):
                place = frame[y : y + DIGIT, x : x + DIGIT]
                np.maximum(place, image, out=place)
        identity = int(np.ravel_multi_index(tuple(shown.labels), (10,) * self.digits))
        action = int(np.ravel_multi_index(motions, (self.slopes * len(self.speeds),) * self.digits))
        labels = self.describe_labels()
        return Clip(
            video=resize(repeat(canvas, "t h w -> t h w c", c=3), self.height, self.width),
            identity=identity,
            action=action,
            name=f"clip {index}, {labels.identity[identity]}, {labels.action[action]}",
            position=self._centre(paths[0]) if self.digits == 1 else None,
        )

    @cached_property
    def pools(self) -> dict[Split, Digits]:
        """The digits that clips are made of, by split; two splits never share one."""
        files = mnist_files(self.folder)
        if files is None:
            images, labels = tiny.small_digits()
            digits = Digits(images, labels)[np.random.default_rng(0).permutation(len(labels))]
            test = round(FALLBACK_TEST * len(labels))
            training, testing = digits[test:], digits[:test]
        else:
            training, testing = (Digits(*read_mnist(*files[part])) for part in ("train", "test"))
        shapes = training.images.shape[1:], testing.images.shape[1:]
        if set(shapes) != {(DIGIT, DIGIT)}:
            raise DataError(
                f"{self.folder}: its images are {shapes[0]} and {shapes[1]} pixels; expected {DIGIT}x{DIGIT}."
            )
        held = max(1, round(HELD_OUT * len(training.labels)))
        return {"train": training[:-held], "val": training[-held:], "test": testing}

    def describe_labels(self) -> Labels:
        """The digit, or both; the motion as "22° at 2 px", or two of them."""
        angles = [90 * (slope + 0.5) / self.slopes for slope in range(self.slopes)]
        one = [f"{angle:.0f}° at {speed:g} px" for angle in angles for speed in self.speeds]
        return Labels(
            identity=[f"{identity:0{self.digits}d}" for identity in range(10**self.digits)],
            action=one if self.digits == 1 else [f"{first}, {second}" for first in one for second in one],
        )

    def _motion(self, generator: np.random.Generator) -> tuple[int, np.ndarray]:
        """A motion's label and its path: (t, 2), (x, y) pixels of the digit's upper left corner."""
        slope, speed = int(generator.integers(self.slopes)), int(generator.integers(len(self.speeds)))
        angle = np.pi / 2 * (slope + 0.5 + generator.uniform(-0.25, 0.25)) / self.slopes
        heading = np.array([np.cos(angle), np.sin(angle)]) * generator.choice((-1, 1), size=2)
        start = generator.uniform(0, ROOM, size=2)
        steps = rearrange(np.arange(self.frames), "t -> t 1")
        return slope * len(self.speeds) + speed, bounced(start + steps * heading * self.speeds[speed])

    def _centre(self, corners: np.ndarray) -> np.ndarray:
        """(t, 2) float32: of the digit's box, in pixels of the resized frame, whose first pixel's centre is 0."""
        centre = np.rint(corners) + DIGIT / 2
        return (centre * (self.width / CANVAS) - 0.5).astype(np.float32)


def bounced(path: np.ndarray) -> np.ndarray:
    """A straight path, reflected at the walls 0 and ROOM: a triangle wave of period 2 ROOM."""
    return ROOM - np.abs(np.mod(path, 2 * ROOM) - ROOM)

"""Batches cut out of the clips of a store."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from data_modules.batch import VideoBatch
from data_modules.common.errors import DataError
from data_modules.store.reader import StoreSplit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """Which frames make a sample: `start`, `start + stride`, ... of one clip, or of two, one after the other."""

    clips: list[int]
    starts: list[int]
    stride: int
    mirrored: bool = False


class ClipDataset(Dataset[VideoBatch]):
    """Batches cut from one split of a store, pictures as bytes: models take `dataset[keys].decoded()`.

    An item is a whole batch, so that frames are copied once, from the mapped file into the batch.

    Args:
        split: the clips.
        length: frames of a sample.
        stride: how far apart they are. Every random sample draws from a range (least, most), as far as the clip is
            long enough; samples that are not random take the least.
        flip: mirror a sample left to right with probability 1/2, all its frames alike. Labels are kept.
        pair: a sample is two windows of one identity, one after the other, from two clips where there are two.
        name: of the split, for messages.

    Raises: DataError where no clip is long enough, or `pair` is asked for and identities are unknown.
    """

    def __init__(
        self,
        split: StoreSplit,
        *,
        length: int,
        stride: int | tuple[int, int] = 1,
        flip: bool = False,
        pair: bool = False,
        name: str = "split",
    ) -> None:
        self.split = split
        self.length = length
        self.stride, self.largest_stride = (stride, stride) if isinstance(stride, int) else stride
        self.flip = flip
        self.pair = pair
        span = (length - 1) * self.stride + 1
        self.usable = np.flatnonzero(split.lengths >= span)
        self.whole = bool((split.lengths <= span).all())
        """Whether no clip has another window than its first frames."""
        short = len(split) - len(self.usable)
        if not len(self.usable):
            raise DataError(
                f"The {name} clips: none of {len(split)} has {span} frames ({length} of them, {self.stride} apart). "
                "Choose a smaller clip_length, eval_clip_length or stride."
            )
        if short:
            log.warning("%d of %d %s clips have fewer than %d frames and are left out.", short, len(split), name, span)
        self._identity = np.asarray(split.array("identity"))[self.usable]
        if pair and self._identity.min() < 0:
            raise DataError(f"pair_actions needs the identity of every clip; some of the {name} clips have none.")

    def __len__(self) -> int:
        return len(self.usable)

    def __getitem__(self, keys: Sequence[tuple[int, int]] | Sequence[int]) -> VideoBatch:
        """The batch of `keys`: (position, draw) for random windows that `draw` seeds, or a position, for the clip's
        first frames; positions count the usable clips."""
        return self._collate([self._random(*key) if isinstance(key, tuple) else self._first(key) for key in keys])

    def _first(self, position: int) -> Sample:
        return Sample(clips=[int(self.usable[position])], starts=[0], stride=self.stride)

    def _random(self, position: int, draw: int) -> Sample:
        generator = random.Random(draw)
        mirrored = self.flip and generator.random() < 0.5
        positions = [position, self._partner(position, generator)] if self.pair else [position]
        clips = self.usable[positions]
        steps = (self.split.lengths[clips] - 1).tolist()  # from the first frame to the last
        stride = self._random_stride(min(steps), generator)
        starts = [generator.randint(0, most - (self.length - 1) * stride) for most in steps]
        return Sample(clips=clips.tolist(), starts=starts, stride=stride, mirrored=mirrored)

    def _random_stride(self, steps: int, generator: random.Random) -> int:
        """The stride of a sample whose shortest clip has `steps` steps."""
        if self.stride == self.largest_stride:
            return self.stride
        longest = steps // (self.length - 1) if self.length > 1 else self.largest_stride
        return generator.randint(self.stride, min(self.largest_stride, longest))

    def _partner(self, position: int, generator: random.Random) -> int:
        """Another clip of the same identity; the clip itself where there is no other."""
        same = np.flatnonzero(self._identity == self._identity[position])
        others = same[same != position]
        return int(generator.choice(others)) if len(others) else position

    def _collate(self, samples: list[Sample]) -> VideoBatch:
        clips = np.array([sample.clips for sample in samples])
        starts = self.split.first_rows[clips] + np.array([sample.starts for sample in samples])
        strides = np.array([sample.stride for sample in samples])
        mirrored = np.array([sample.mirrored for sample in samples])
        steps = np.arange(self.length) * rearrange(strides, "b -> b 1 1")
        rows = rearrange(rearrange(starts, "b n -> b n 1") + steps, "b n t -> b (n t)")
        return VideoBatch(
            video=_required(self._pictures("video", rows, mirrored)),
            identity=torch.from_numpy(self.split.array("identity")[clips[:, 0]]),
            action=self._action(clips, rows),
            clip=torch.from_numpy(clips[:, 0].copy()),
            mask=self._pictures("mask", rows, mirrored),
            foreground_shift=self._shift("foreground_shift", rows, strides, mirrored),
            background_shift=self._shift("background_shift", rows, strides, mirrored),
            local_action=self._gather("local_action", rows),
            position=self._position(rows, mirrored),
        )

    def _gather(self, field: str, rows: np.ndarray) -> Tensor | None:
        """(b, t, ...) the `rows` (b, t) of a per-frame field; None where the dataset has no such field."""
        return torch.from_numpy(self.split.array(field).take(rows, axis=0)) if field in self.split else None

    def _pictures(self, field: str, rows: np.ndarray, mirrored: np.ndarray) -> Tensor | None:
        """(b, t, c, h, w) uint8."""
        pictures = self._gather(field, rows)
        if pictures is None:
            return None
        if mirrored.any():
            pictures[mirrored] = pictures[mirrored].flip(-1)
        return rearrange(pictures, "b t h w -> b t 1 h w") if pictures.ndim == 4 else pictures

    def _action(self, clips: np.ndarray, rows: np.ndarray) -> Tensor:
        """(b,), or (b, t) where labels are per frame or a sample is two clips, which may differ."""
        if self.split.columns["action"].per == "frame":
            return _required(self._gather("action", rows))
        labels = torch.from_numpy(self.split.array("action")[clips])
        return labels.repeat_interleave(self.length, dim=1) if self.pair else labels[:, 0]

    def _shift(self, field: str, rows: np.ndarray, strides: np.ndarray, mirrored: np.ndarray) -> Tensor | None:
        """(b, t-1, 2) from each sampled frame to the next: the sum of the shifts between them.

        None for pairs of clips, because the shift from one clip to the other is unknown.
        """
        if self.pair or field not in self.split:
            return None
        column = self.split.array(field)
        shift = np.zeros((len(rows), self.length - 1, 2), column.dtype)
        for step in range(strides.max()):
            reached = strides > step
            shift[reached] += column[rows[reached, :-1] + step]
        shift[mirrored, :, 0] *= -1
        return torch.from_numpy(shift)

    def _position(self, rows: np.ndarray, mirrored: np.ndarray) -> Tensor | None:
        position = self._gather("position", rows)
        if position is not None:
            right = self.split.columns["video"].shape[-1] - 1
            position[mirrored, :, 0] = right - position[mirrored, :, 0]
        return position


def _required(value: Tensor | None) -> Tensor:
    if value is None:
        raise DataError("The store lacks a field that every store has. Remove it and prepare it again.")
    return value

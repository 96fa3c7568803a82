"""Clips on their way into a store, and out of it again as batches."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.utils.data import Dataset

from data_modules.batch import VideoBatch
from data_modules.errors import DataError
from data_modules.store import StoreSplit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One whole video, as a source reads it.

    All clips of a dataset have one frame size and carry the same fields.

    Args:
        video: (t, h, w, 3) uint8.
        identity: the static factor's label; -1 where unknown.
        action: the dynamic factor's label, one for the clip or (t,), one for each frame; -1 where unknown.
        name: what a person would call the clip, for messages: a file name, say.
        mask: (t, h, w) uint8 in {0, 1}, foreground.
        foreground_shift: (t-1, 2) float32, (x, y) pixels between a frame and the next; x to the right, y down.
        background_shift: as `foreground_shift`, for the background.
        local_action: (t,) in-place action of each frame.
        position: (t, 2) float32, (x, y) pixels, centre of the foreground; (0, 0) is the centre of the top left pixel.
    """

    video: np.ndarray
    identity: int = -1
    action: int | np.ndarray = -1
    name: str = ""
    mask: np.ndarray | None = None
    foreground_shift: np.ndarray | None = None
    background_shift: np.ndarray | None = None
    local_action: np.ndarray | None = None
    position: np.ndarray | None = None


@dataclass(frozen=True)
class Window:
    """The frames of one clip that make a sample, or half of one: `start`, `start + stride`, ...; mirrored or not."""

    clip: int
    start: int
    flip: bool


class ClipDataset(Dataset[VideoBatch]):
    """Batches cut from one split of a store.

    It is asked for a whole batch at once, so that frames are copied once from the mapped file into the batch.

    Args:
        split: the clips.
        length, stride: frames of a sample, and how far they lie apart.
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
        stride: int = 1,
        flip: bool = False,
        pair: bool = False,
        name: str = "split",
    ) -> None:
        self.split = split
        self.length = length
        self.stride = stride
        self.flip = flip
        self.pair = pair
        span = (length - 1) * stride + 1
        self.usable = np.flatnonzero(split.lengths >= span)
        short = len(split) - len(self.usable)
        if not len(self.usable):
            raise DataError(
                f"The {name} clips: none of {len(split)} has {span} frames ({length} of them, {stride} apart). "
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
        samples = [self._random_windows(*key) if isinstance(key, tuple) else [self._first_window(key)] for key in keys]
        return self._collate(samples)

    def _first_window(self, position: int) -> Window:
        return Window(clip=int(self.usable[position]), start=0, flip=False)

    def _random_windows(self, position: int, draw: int) -> list[Window]:
        generator = random.Random(draw)
        flip = self.flip and generator.random() < 0.5
        positions = [position, self._partner(position, generator)] if self.pair else [position]
        windows = []
        for clip in self.usable[positions].tolist():
            last = int(self.split.lengths[clip]) - ((self.length - 1) * self.stride + 1)
            windows.append(Window(clip=clip, start=generator.randint(0, last), flip=flip))
        return windows

    def _partner(self, position: int, generator: random.Random) -> int:
        """Another clip of the same identity; the same one where it is the only one."""
        same = np.flatnonzero(self._identity == self._identity[position])
        others = same[same != position]
        return int(generator.choice(others)) if len(others) else position

    def _collate(self, samples: list[list[Window]]) -> VideoBatch:
        """One batch of samples, each of one window, or of two that are joined in time."""
        clips = np.array([windows[0].clip for windows in samples])
        mask = self._gather("mask", samples)
        return VideoBatch(
            video=_required(self._gather("video", samples)).float().div_(255),
            identity=torch.from_numpy(self.split.array("identity")[clips]),
            action=self._action(samples),
            clip=torch.from_numpy(clips),
            mask=None if mask is None else rearrange(mask, "b t h w -> b t 1 h w").float(),
            foreground_shift=self._shift("foreground_shift", samples),
            background_shift=self._shift("background_shift", samples),
            local_action=self._gather("local_action", samples),
            position=self._position(samples),
        )

    def _gather(self, field: str, samples: list[list[Window]]) -> Tensor | None:
        """(b, t, ...) the rows of a per-frame field; images mirrored where the window says so."""
        if field not in self.split:
            return None
        column = self.split.array(field)
        length = self.length
        rows = np.empty((len(samples), length * len(samples[0]), *column.shape[1:]), column.dtype)
        for out, windows in zip(rows, samples, strict=True):
            for i, window in enumerate(windows):
                view = self.split.window(field, window.clip, window.start, length, self.stride)
                mirrored = window.flip and field in ("video", "mask")
                out[i * length : (i + 1) * length] = view[..., ::-1] if mirrored else view
        return torch.from_numpy(rows)

    def _action(self, samples: list[list[Window]]) -> Tensor:
        """(b,), or (b, t) where labels are per frame or a sample is two windows, which may differ."""
        if self.split.columns["action"].per == "frame":
            return _required(self._gather("action", samples))
        clips = np.array([[window.clip for window in windows] for windows in samples])
        labels = torch.from_numpy(self.split.array("action")[clips])
        return labels.repeat_interleave(self.length, dim=1) if self.pair else labels[:, 0]

    def _shift(self, field: str, samples: list[list[Window]]) -> Tensor | None:
        """(b, t-1, 2) from each sampled frame to the next: the sum of the shifts between them.

        None where two windows meet, because nothing is known of how far the content moved there.
        """
        steps = (self.length - 1) * self.stride
        if self.pair or field not in self.split:
            return None
        if not steps:
            return torch.zeros(len(samples), 0, 2)
        rows = np.stack([self.split.window(field, window.clip, window.start, steps) for (window,) in samples])
        shift = torch.from_numpy(reduce(rows, "b (t s) xy -> b t xy", "sum", s=self.stride))
        shift[self._mirrored(samples), :, 0] *= -1
        return shift

    def _position(self, samples: list[list[Window]]) -> Tensor | None:
        position = self._gather("position", samples)
        if position is not None:
            right = self.split.columns["video"].shape[-1] - 1
            mirrored = self._mirrored(samples)
            position[mirrored, :, 0] = right - position[mirrored, :, 0]
        return position

    @staticmethod
    def _mirrored(samples: list[list[Window]]) -> Tensor:
        return torch.tensor([windows[0].flip for windows in samples])


def _required(value: Tensor | None) -> Tensor:
    if value is None:
        raise DataError("The store lacks a field that every store has. Remove it and prepare it again.")
    return value

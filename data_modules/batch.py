"""The one type that models see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class VideoBatch:
    """A batch of clips with whatever labels the dataset knows.

    Args:
        video: (b, t, 3, h, w) float32 in [0, 1].
        identity: (b,) int64, the static factor (subject, character, digit, colour); -1 where unknown.
        action: (b,) or (b, t) int64, the dynamic factor; -1 where unknown.
        clip: (b,) int64, position of each clip in its split's store, so that an error can name it; -1 where unknown.
        mask: (b, t, 1, h, w) float32 in {0, 1}, foreground.
        foreground_shift: (b, t-1, 2) float32, (x, y) pixels of the frame that the foreground's content moves between
            t and t+1; x to the right, y down.
        background_shift: as `foreground_shift`, for the background.
        local_action: (b, t) int64, in-place action of each frame.
        position: (b, t, 2) float32, (x, y) pixels, centre of the foreground.
    """

    video: Tensor
    identity: Tensor
    action: Tensor
    clip: Tensor
    mask: Tensor | None = None
    foreground_shift: Tensor | None = None
    background_shift: Tensor | None = None
    local_action: Tensor | None = None
    position: Tensor | None = None

    def __len__(self) -> int:
        return self.video.shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> VideoBatch:
        """A batch in which `function` was applied to every tensor that is there."""
        present = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **{name: function(value) for name, value in present.items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VideoBatch:
        """The batch on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> VideoBatch:
        """The batch in page-locked memory; called by the data loader."""
        return self.map(lambda value: value.pin_memory())

    @classmethod
    def unlabelled(cls, video: Tensor) -> VideoBatch:
        """A batch of clips (b, t, 3, h, w) of which nothing is known."""
        unknown = torch.full((video.shape[0],), -1, dtype=torch.int64, device=video.device)
        return cls(video=video, identity=unknown, action=unknown, clip=unknown)

"""The type of batch that all models take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import prod

import torch
from torch import Tensor

_Place = tuple[str, torch.dtype, tuple[int, ...]]  # a field, its type and its shape


@dataclass(frozen=True)
class VideoBatch:
    """A batch of clips with whatever labels the dataset knows.

    Datasets and loaders give pictures as bytes, a quarter of the data to move. The data module decodes them on the
    device; a loop of your own over a loader calls `batch.to(device).decoded()`.

    Args:
        video: (b, t, 3, h, w) float32 in [0, 1]; until `decoded` uint8, 255 times that.
        identity: (b,) int64, the static factor (subject, character, digit, colour); -1 where unknown.
        action: (b,) or (b, t) int64, the dynamic factor; -1 where unknown.
        clip: (b,) int64, position of each clip in its split's store, so that an error can name it; -1 where unknown.
        mask: (b, t, 1, h, w) float32 in {0, 1}, foreground; until `decoded` uint8.
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

    @property
    def present(self) -> dict[str, Tensor]:
        """The tensors of the labels that are known, by field."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> VideoBatch:
        """A batch in which `function` was applied to every tensor."""
        return replace(self, **{name: function(value) for name, value in self.present.items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VideoBatch:
        """The batch on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    def decoded(self) -> VideoBatch:
        """The batch as models take it, pictures as float32; the batch itself where they are float32 already."""
        if self.video.dtype != torch.uint8:
            return self
        mask = None if self.mask is None else self.mask.float()
        return replace(self, video=self.video.float().div_(255), mask=mask)

    def pin_memory(self) -> VideoBatch:
        """The batch in page-locked memory; called by the data loader."""
        return self.map(lambda value: value.pin_memory())

    def __reduce__(self) -> tuple[Callable[..., VideoBatch], tuple[Tensor, list[_Place]]]:
        """Send one block of bytes: every tensor sent to another process would cost a file handle and a round trip."""
        # Larger items first, so that each tensor begins where its type may begin.
        tensors = dict(sorted(self.present.items(), key=lambda item: -item[1].itemsize))
        block = torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor in tensors.values()])
        return _unpacked, (block, [(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()])

    @classmethod
    def unlabelled(cls, video: Tensor) -> VideoBatch:
        """A batch of clips (b, t, 3, h, w) without labels."""
        unknown = torch.full((video.shape[0],), -1, dtype=torch.int64, device=video.device)
        return cls(video=video, identity=unknown, action=unknown, clip=unknown)


def _unpacked(block: Tensor, places: list[_Place]) -> VideoBatch:
    parts = block.split([prod(shape) * dtype.itemsize for _, dtype, shape in places])
    tensors = {name: part.view(dtype).view(shape) for part, (name, dtype, shape) in zip(parts, places, strict=True)}
    return VideoBatch(**tensors)

"""What trivial models know: training clips as they are, or a figure that is cut out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass.layers.shift import shift, to_grid

PART = 16
"""Kept clips that are compared at once."""


class Memory(nn.Module):
    """The first training clips that it is shown.

    Args: clips, how many it keeps; frames, of each, from the first; size, their height and width.
    """

    kept: Tensor
    count: Tensor

    def __init__(self, *, clips: int, frames: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("kept", torch.zeros(clips, frames, 3, *size, dtype=torch.uint8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def keep(self, video: Tensor) -> None:
        """Keeps clips (b, t, 3, h, w) in [0, 1], as long as there is room.

        Raises: UserError, the clips are shorter or of another size.
        """
        clips, frames, *_ = self.kept.shape
        if video.shape[1] < frames or video.shape[-2:] != self.size:
            found = "{} frames of {} x {}".format(video.shape[1], *video.shape[-2:])
            raise UserError(
                f"clips have {found}, but the model keeps {frames} of {self.size[0]} x {self.size[1]}; change "
                "model.init_args.frames and size, or data.init_args.clip_length and size"
            )
        at = int(self.count)
        room = min(len(video), clips - at)
        self.kept[at : at + room] = (255 * video[:room, :frames]).round().to(torch.uint8)
        self.count += room

    def recalled(self, clip: Tensor, *, frames: int) -> Tensor:
        """Kept clips by their numbers (b,): (b, frames, 3, h, w) in [0, 1]; one that is too short stays at its end."""
        times = torch.arange(frames, device=clip.device).clamp(max=self.kept.shape[1] - 1)
        return self.kept[clip][:, times].float() / 255

    def distances(self, video: Tensor) -> Tensor:
        """Root of the summed squared difference of b clips (b, t, 3, h, w) in [0, 1] to each of n kept ones: (b, n).

        Frames that one of both lacks do not count.   Raises: UserError, nothing is kept.
        """
        if not self.count:
            raise UserError("this model has kept no clip yet; train it: vdsm-glass fit")
        frames = min(video.shape[1], self.kept.shape[1])
        wanted = video[:, :frames].flatten(1)
        parts = self.kept[: self.count, :frames].split(PART)
        return torch.cat([torch.cdist(wanted, part.flatten(1).float() / 255) for part in parts], dim=1)


class RigidCrop(nn.Module):
    """A figure that is cut out of the first frame and moved as it is, before a background that moves, too.

    Args: threshold, in [0, 1]: where no mask is known, a pixel that differs from the background by more in some colour
        is the figure's.
    """

    def __init__(self, *, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, first: Tensor, mask: Tensor, foreground_shift: Tensor, background_shift: Tensor) -> Tensor:
        """The first frame and what follows.

        Args: first (b, 3, h, w) in [0, 1]; mask (b, 1, h, w) in [0, 1]; shifts (b, t-1, 2) in pixels, (x, y), x to the
            right and y down.
        Returns: (b, t, 3, h, w) in [0, 1].
        """
        b, steps, _ = foreground_shift.shape
        if not steps:
            return first[:, None]
        behind = filled(first, mask)
        figure = moved(torch.cat([first * mask, mask], dim=1), foreground_shift, padding="zeros")
        ground = moved(behind, background_shift, padding="border")
        f, m = rearrange(figure, "(b t) c h w -> b t c h w", b=b).split([3, 1], dim=2)
        frames = f + rearrange(ground, "(b t) c h w -> b t c h w", t=steps) * (1 - m)
        return torch.cat([first[:, None], frames], dim=1).clamp(0, 1)

    def found(self, video: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The figure's mask in the first frame, its shifts and those of the background, where no label says them.

        The background moves as most of the frame does; the figure is what differs from the middle of the frames that
        are put back where they came from.

        Args: video (b, t, 3, h, w) in [0, 1].   Returns: (b, 1, h, w) in {0, 1}, twice (b, t-1, 2) whole pixels.
        """
        b, t = video.shape[:2]
        background_shift = self.shifts(video.mean(dim=2))
        travelled = rearrange(F.pad(background_shift.cumsum(dim=1), (0, 0, 1, 0)), "b t xy -> (b t) xy")
        frames = rearrange(video, "b t c h w -> (b t) c h w")
        back = rearrange(displaced(frames, -travelled, padding="border"), "(b t) c h w -> b t c h w", b=b)
        ground = back.median(dim=1, keepdim=True).values.expand_as(back)
        ground = displaced(rearrange(ground, "b t c h w -> (b t) c h w"), travelled, padding="border")
        differs = (frames - ground).abs().amax(dim=1, keepdim=True) > self.threshold
        masks = rearrange(differs.to(video), "(b t) 1 h w -> b t 1 h w", t=t)
        return masks[:, 0], self.shifts((video * masks).mean(dim=2)), background_shift

    @staticmethod
    def shifts(grey: Tensor) -> Tensor:
        """Whole pixels from each frame to the next, by phase correlation.  Args: grey (b, t, h, w).

        Returns: (b, t-1, 2), (x, y).
        """
        height, width = grey.shape[-2:]
        waves = np.fft.rfft2(grey.cpu().numpy())  # PyTorch's at times ends with an error of MKL (pytorch issue 154477)
        cross = waves[:, 1:] * waves[:, :-1].conj()
        likeness = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-6), s=(height, width))
        peak = torch.from_numpy(likeness).flatten(2).argmax(dim=-1)
        # Beyond half of a frame the content has gone the other way.
        x, y = (peak % width + width // 2) % width - width // 2, (peak // width + height // 2) % height - height // 2
        return torch.stack([x, y], dim=-1).to(grey)


def displaced(pictures: Tensor, pixels: Tensor, *, padding: str) -> Tensor:
    """Pictures (n, c, h, w), each moved by its pixels (n, 2)."""
    height, width = pictures.shape[-2:]
    return shift(pictures, to_grid(pixels, height=height, width=width), padding=padding)  # pyright: ignore[reportArgumentType]


def moved(pictures: Tensor, steps: Tensor, *, padding: str) -> Tensor:
    """Pictures (b, c, h, w) after each of t steps (b, t, 2) in pixels, one upon the other: (b t, c, h, w)."""
    many = pictures.repeat_interleave(steps.shape[1], dim=0)
    return displaced(many, rearrange(steps.cumsum(dim=1), "b t xy -> (b t) xy"), padding=padding)


def filled(frames: Tensor, mask: Tensor) -> Tensor:
    """Frames (n, 3, h, w) whose masked pixels are the mean of what is not masked within half a frame around them."""
    side = 2 * (min(frames.shape[-2:]) // 4) + 1
    seen, there = (F.avg_pool2d(part, side, stride=1, padding=side // 2) for part in (frames * (1 - mask), 1 - mask))
    return frames * (1 - mask) + seen / there.clamp(min=1e-6) * mask

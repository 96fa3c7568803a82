"""A distance of motion that needs no one's weights: it follows blocks from frame to frame and compares histograms."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass.metrics.features import Extractor
from vdsm_glass.metrics.frechet import FrechetDistance

LONGER_SIDE, BLOCK, REACH = 64, 8, 4
"""Frames are made this small; a block has so many pixels a side, and is looked for so many pixels around it."""
BINS, REGIONS, THIRDS = 6, 2, 3
FEWEST_FRAMES = 3
FLAT = 1e-6
"""A variance of pixels in [0, 1] that is a quarter of a level's square: less is no texture to follow."""
STAY = 0.002
"""What a pixel of way costs in correlation, so that a block without texture stays where it is."""


def lightness(video: Tensor) -> Tensor:
    """The mean of each pixel's largest and smallest channel, which hue and the channels' order leave alone.

    Args: video (n, t, 3, h, w) in [0, 1].
    Returns: (n, t, h', w'), of which the longer side has at most 64 pixels.  Raises: UserError, it has no block.
    """
    frames = (video.amax(dim=2) + video.amin(dim=2)) / 2
    scale = min(1.0, LONGER_SIDE / max(frames.shape[-2:]))
    size = [round(scale * side) for side in frames.shape[-2:]]
    if min(size) < BLOCK:
        raise UserError(
            f"fmd follows blocks of {BLOCK} pixels, and frames of {video.shape[-2]} x {video.shape[-1]} pixels have "
            f"none at a longer side of {LONGER_SIDE}; leave fmd out"
        )
    if scale == 1:
        return frames
    return F.interpolate(frames, size=size, mode="bilinear", antialias=True, align_corners=False)


def block_motion(first: Tensor, second: Tensor) -> Tensor:
    """Where the blocks of `first` are in `second`: the largest correlation within reach, to parts of a pixel.

    The correlation has means taken away and is normalised, so that gain and offset do not matter.
    Args: (n, h, w) each.   Returns: (n, h // 8, w // 8, 2), (x, y) in pixels.
    """
    h, w = (side - side % BLOCK for side in first.shape[-2:])
    block = first[:, None, :h, :w]
    block = block - F.interpolate(F.avg_pool2d(block, BLOCK), scale_factor=BLOCK, mode="nearest")
    there = F.pad(second[:, None], [REACH] * 4, mode="replicate")
    there = there - there.mean(dim=(-2, -1), keepdim=True)  # keeps digits of the variances
    variance = box(there.square()) - box(there).square()
    inverse = (variance.clamp(min=0) + FLAT).rsqrt()
    ours = (F.avg_pool2d(block.square(), BLOCK) + FLAT).rsqrt()
    window = range(2 * REACH + 1)
    scores = []
    for y, x in product(window, window):
        common = F.avg_pool2d(block * there[..., y : y + h, x : x + w], BLOCK)
        theirs = inverse[..., y : y + h - BLOCK + 1 : BLOCK, x : x + w - BLOCK + 1 : BLOCK]
        scores.append(common * ours * theirs - STAY * (abs(y - REACH) + abs(x - REACH)))
    score = torch.cat(scores, dim=1)
    best = score.argmax(dim=1)
    y, x = best // len(window), best % len(window)
    return torch.stack([x + peak(score, best, x, step=1), y + peak(score, best, y, step=len(window))], dim=-1) - REACH


def box(picture: Tensor) -> Tensor:
    """The mean of the block that begins at each pixel.  Args: (n, 1, h, w).   Returns: (n, 1, h - 7, w - 7)."""
    return F.avg_pool2d(F.avg_pool2d(picture, (BLOCK, 1), stride=1), (1, BLOCK), stride=1)


def peak(score: Tensor, best: Tensor, along: Tensor, *, step: int) -> Tensor:
    """How far from the best score the parabola through it and its neighbours has its top, in [-½, ½] pixels.

    Args: score (n, places, h, w); best (n, h, w), a place; along (n, h, w), its coordinate in the window; step, from a
    place to the next of that coordinate.   Returns: (n, h, w); 0 at the window's border.
    """
    inside = (along > 0) & (along < 2 * REACH)
    left, middle, right = (score.gather(1, (best + inside * offset)[:, None])[:, 0] for offset in (-step, 0, step))
    bend = 2 * middle - left - right
    return torch.where(inside & (bend > 0), 0.5 * (right - left) / bend.clamp(min=FLAT), 0.0).clamp(-0.5, 0.5)


def lengths(motion: Tensor) -> Tensor:
    """Shares of the bins 0, ½, 1½, 3½, 7½, 15½ pixels, between which a length is divided in log₂(1 + 2 |v|).

    Args: motion (..., 2), pixels.   Returns: (..., 6), which sum to 1.
    """
    level = torch.log2(1 + 2 * torch.linalg.vector_norm(motion, dim=-1, keepdim=True)).clamp(max=BINS - 1)
    return (1 - (level - torch.arange(BINS, device=motion.device)).abs()).clamp(min=0)


def histograms(motion: Tensor) -> Tensor:
    """Mean shares of lengths in each quarter of the frame, and in each third of the time, and of the four directions.

    Args: motion (n, t, h, w, 2), pixels.   Returns: (n, 46): 2 x 2 quarters and 3 thirds of 6 bins; right, down, left,
    up, each a length l as l / (1 + l).
    """
    shares = lengths(motion)
    placed = F.adaptive_avg_pool2d(rearrange(shares.mean(dim=1), "n h w bin -> n bin h w"), REGIONS)
    timed = F.adaptive_avg_pool1d(rearrange(shares.mean(dim=(2, 3)), "n t bin -> n bin t"), THIRDS)
    ways = torch.cat([motion, -motion], dim=-1).clamp(min=0)
    return torch.cat([placed.flatten(1), timed.flatten(1), (ways / (1 + ways)).mean(dim=(1, 2, 3))], dim=1)


class MotionHistograms(Extractor):
    """From a clip to histograms of how its blocks move, and of how that changes from frame to frame; no weights."""

    def __init__(self) -> None:
        numbers = 2 * (BINS * (REGIONS**2 + THIRDS) + 4)
        super().__init__(nn.Identity(), name="block motion", checksum="", num_features=numbers)

    @property
    def info(self) -> dict[str, str]:
        """Empty: there is no network to name."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Clips (n, t, 3, h, w) in [0, 1], t >= 3 -> (n, 92)."""
        frames = lightness(x)
        motion = block_motion(frames[:, :-1].flatten(end_dim=1), frames[:, 1:].flatten(end_dim=1))
        motion = rearrange(motion, "(n t) h w xy -> n t h w xy", n=len(x))
        return torch.cat([histograms(motion), histograms(motion.diff(dim=1))], dim=1)


class FMD(FrechetDistance):
    """Fréchet motion distance: of the histograms of how blocks of 8 pixels move, every clip one sample.

    In [0, ∞), without unit. It sees when and where how much moves and in which of four directions, and how that changes
    from frame to frame; it sees neither colours nor what a picture shows. A few clips differ from others of the same
    kind, so that a value means something beside that of two halves of real clips. In the spirit of FVMD [Liu et al.
    2024], whose points are tracked by a trained network.

    >>> metric = FMD()
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> clips = torch.rand(4, 3, 3, 16, 16)
    >>> metric.update(clips, real=True)
    >>> metric.update(clips[:, :, [2, 0, 1]], real=False)  # other colours
    >>> round(abs(metric.compute().item()), 6)
    0.0
    """

    samples = "clips"
    default_chunk = 16

    def __init__(self, *, chunk: int | None = None) -> None:
        super().__init__(MotionHistograms(), chunk=chunk)

    def update(self, video: Tensor, *, real: bool) -> None:
        """Args: video (b, t, 3, h, w) in [0, 1].   Raises: UserError, t < 3, or frames too small for a block."""
        if video.shape[1] < FEWEST_FRAMES:
            raise UserError(
                f"fmd compares changes of motion, for which clips need {FEWEST_FRAMES} frames, and these have "
                f"{video.shape[1]}; leave fmd out"
            )
        self.add(video, real=real)

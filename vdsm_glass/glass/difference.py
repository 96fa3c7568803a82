"""What differs from a fixed ground: where masks and shifts may start from.  Not in the paper."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from einops import rearrange
from scipy import ndimage
from torch import Tensor

from vdsm_glass.layers.shift import to_grid

TREMBLE, NO_TREMBLE = 2.5, 0.1
"""Pixels that a fixed camera trembles at most, and below which it counts as still."""
STEPS = 4
"""Of the search for how far it trembled."""
STEADY = 8.0
"""Levels of 255 from which on a pixel counts half in that search."""


@dataclass(frozen=True)
class Blob:
    """A connected part of what differs.

    Args: mask, bool, of its box; area in pixels; middle (x, y); box (left, top, right, bottom), the last two exclusive.
    """

    mask: np.ndarray
    area: int
    middle: tuple[float, float]
    box: tuple[int, int, int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """Of its box, rows and columns of the frame."""
        left, top, right, bottom = self.box
        return slice(top, bottom), slice(left, right)


def difference(frames: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """How far pixels are from the ground, the largest of the channels, over 3x3 pixels.

    A change of light is taken out, and that the camera trembled by a pixel or two. What it then showed of the frame's
    border was not seen in the ground, and differs by 0.

    Args: frames (n, h, w, 3) and ground (h, w, 3) or (n, h, w, 3), uint8.   Returns: (n, h, w) float32 in [0, 255].
    """
    found = np.empty(frames.shape[:3], np.float32)
    for frame, below, into in zip(frames, np.broadcast_to(ground, frames.shape), found, strict=True):
        steady, border = steadied(below, frame)
        signed = frame.astype(np.float32) - steady
        signed -= np.median(signed[::3, ::3], axis=(0, 1))
        if border:
            signed[:border] = signed[-border:] = signed[:, :border] = signed[:, -border:] = 0
        ndimage.uniform_filter(np.abs(signed).max(axis=2), size=3, output=into)
    return found


def steadied(ground: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, int]:
    """The ground, moved to where the camera had it when it took the frame, if that is at most `TREMBLE` pixels away.

    Args: ground and frame (h, w, 3).
    Returns: (h, w, 3), like the ground, and the width in pixels of the border where it says nothing.
    """
    x, y = trembled(ground, frame)
    if x == y == 0:
        return ground, 0
    return ndimage.shift(ground, (y, x, 0), order=1, mode="nearest"), ceil(max(abs(x), abs(y)))


def trembled(ground: np.ndarray, frame: np.ndarray) -> tuple[float, float]:
    """How far a frame's picture is moved against the ground, (x, y) in pixels; (0, 0) where it does not fit better so.

    Lucas and Kanade's step for the whole picture, repeated. Pixels that differ much count little, as they are the
    agent's, and a change of light is taken out.

    Args: ground and frame (h, w, 3).
    """
    h, w = (side // 2 for side in frame.shape[:2])
    below, above = (
        picture[: 2 * h, : 2 * w].reshape(h, 2, w, 6).mean(axis=(1, 3), dtype=np.float32) for picture in (ground, frame)
    )
    above, at = ndimage.uniform_filter(above, size=3), np.zeros(2)

    def compared() -> tuple[np.ndarray, np.ndarray]:
        moved = ndimage.uniform_filter(ndimage.shift(below, at[::-1], order=1, mode="nearest"), size=3)
        misses = (above - moved)[2:-2, 2:-2]
        return moved, misses - np.median(misses[::2, ::2])

    moved, misses = compared()
    first = np.abs(misses).mean()
    for _ in range(STEPS):
        down, right = np.gradient(moved)
        slopes = np.stack([right, down])[:, 2:-2, 2:-2].reshape(2, -1)
        weighted = slopes / (1 + (misses.ravel() / STEADY) ** 2)
        at -= np.linalg.solve(weighted @ slopes.T + 1e-3 * misses.size * np.eye(2), weighted @ misses.ravel())
        if not NO_TREMBLE <= 2 * np.abs(at).max() <= TREMBLE:
            return 0.0, 0.0
        moved, misses = compared()
    return (2 * float(at[0]), 2 * float(at[1])) if 1.1 * np.abs(misses).mean() < first else (0.0, 0.0)


def blobs(mask: np.ndarray, *, least: int) -> list[Blob]:
    """The parts of mask (h, w) bool with at least `least` pixels; parts near each other count as one."""
    near = max(1, round(0.25 * np.sqrt(mask.sum())))
    grown = ndimage.binary_dilation(mask, iterations=min(near, 6))
    labels, count = ndimage.label(grown)  # pyright: ignore[reportGeneralTypeIssues]
    found = []
    for number, place in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        part = mask[place] & (labels[place] == number)
        rows, columns = np.nonzero(part)
        if (area := len(rows)) >= least:
            x, y = place[1].start, place[0].start
            left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            box = (int(x + left), int(y + top), int(x + right), int(y + bottom))
            middle = (float(x + columns.mean()), float(y + rows.mean()))
            found.append(Blob(part[top:bottom, left:right], area, middle, box))
    return found


@dataclass(frozen=True)
class Differing:
    """The agent of a video, by what differs from its ground.

    Args:
        mask: (b, t, 1, h, w) in [0, 1].
        shift: (b, t-1, 2) in grid units, how its middle moves; 0 where it is not known.
        known: (b, t) 1 where an agent was found, else 0.
    """

    mask: Tensor
    shift: Tensor
    known: Tensor


class Ground:
    """The median pictures of clips that a fixed camera took, and how to find an agent by them.

    Args:
        pictures: (clips, h, w, 3) uint8 by clip, or (1, h, w, 3) of all clips.
        threshold: levels of 255 above which a pixel differs.
        theta: share of the frame that the agent covers; of all that differs, the part nearest to this size is taken.
    """

    def __init__(self, pictures: np.ndarray, *, threshold: float, theta: float) -> None:
        self.pictures, self.threshold, self.theta = pictures, threshold, theta

    def of(self, clip: Tensor) -> np.ndarray:
        """The pictures of the clips with the numbers (b,): (b, h, w, 3) uint8."""
        return self.pictures[np.zeros(len(clip), int) if len(self.pictures) == 1 else clip.cpu().numpy()]

    def seen_in(self, video: Tensor, clip: Tensor) -> Differing:
        """The agent of a video (b, t, 3, h, w) in [-1, 1] whose clips have the numbers (b,)."""
        b, t, _, height, width = video.shape
        frames = rearrange(((video + 1) * 127.5).round().byte().cpu(), "b t c h w -> (b t) h w c").numpy()
        mask = np.zeros((b * t, height, width), np.float32)
        middle, known = np.zeros((b * t, 2), np.float32), np.zeros(b * t, np.float32)
        usual = self.theta * height * width
        for at, found in enumerate(difference(frames, self.of(clip).repeat(t, axis=0)) > self.threshold):
            parts = [part for part in blobs(found, least=3) if usual / 4 <= part.area <= 4 * usual]
            if parts:
                agent = min(parts, key=lambda part: abs(np.log(part.area / usual)))
                mask[at][agent.place] = agent.mask
                mask[at] = ndimage.uniform_filter(mask[at], size=3)
                middle[at], known[at] = agent.middle, 1.0
        middle, known, mask = (
            torch.from_numpy(each).to(video.device).unflatten(0, (b, t)) for each in (middle, known, mask)
        )
        both = (known[:, 1:] * known[:, :-1])[..., None]
        way = to_grid(middle[:, 1:] - middle[:, :-1], height=height, width=width)
        return Differing(mask=mask[:, :, None], shift=way * both, known=known)

    def behind(self, video: Tensor, clip: Tensor) -> Tensor:
        """What the agent hides: the ground of every frame, in that frame's light.

        Args: video (b, t, 3, h, w) in [-1, 1], whose clips have the numbers (b,).   Returns: the same shape.
        """
        ground = rearrange(torch.from_numpy(self.of(clip)).to(video) / 127.5 - 1, "b h w c -> b 1 c h w")
        light = (video - ground)[..., ::3, ::3].flatten(start_dim=-2).median(dim=-1).values
        return (ground + light[..., None, None]).clamp(-1, 1)

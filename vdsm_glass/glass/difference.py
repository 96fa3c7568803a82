"""What differs from a fixed ground: where masks and shifts may start from.  Not in the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from scipy import ndimage
from torch import Tensor

from vdsm_glass.layers.shift import to_grid


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

    A change of light is taken out, and that the camera trembled by a pixel.

    Args: frames (n, h, w, 3) and ground (h, w, 3) or (n, h, w, 3), uint8.   Returns: (n, h, w) float32 in [0, 255].
    """
    found = np.empty(frames.shape[:3], np.float32)
    for frame, below, into in zip(frames, np.broadcast_to(ground, frames.shape), found, strict=True):
        signed = frame.astype(np.float32) - steadied(below, frame)
        signed -= np.median(signed[::3, ::3], axis=(0, 1))
        ndimage.uniform_filter(np.abs(signed).max(axis=2), size=3, output=into)
    return found


def steadied(ground: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The ground, moved by at most a pixel each way where it fits the frame better by a tenth.

    Args: ground and frame (h, w, 3).   Returns: (h, w, 3), like the ground.
    """
    h, w = frame.shape[:2]
    edged = np.pad(ground, ((1, 1), (1, 1), (0, 0)), mode="edge")
    signed = frame[::3, ::3].astype(np.float32) - ground[::3, ::3]
    seen = frame[::3, ::3] - np.median(signed, axis=(0, 1))
    misses = {
        (y, x): float(np.abs(seen - edged[y : y + h : 3, x : x + w : 3]).mean()) for y in range(3) for x in range(3)
    }
    y, x = least = min(misses, key=lambda at: misses[at])
    return edged[y : y + h, x : x + w] if 1.1 * misses[least] < misses[1, 1] else ground


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

    def seen_in(self, video: Tensor, clip: Tensor) -> Differing:
        """The agent of a video (b, t, 3, h, w) in [-1, 1] whose clips have the numbers (b,)."""
        b, t, _, height, width = video.shape
        frames = rearrange(((video + 1) * 127.5).round().byte().cpu(), "b t c h w -> (b t) h w c").numpy()
        number = np.zeros(b * t, int) if len(self.pictures) == 1 else clip.cpu().numpy().repeat(t)
        mask = np.zeros((b * t, height, width), np.float32)
        middle, known = np.zeros((b * t, 2), np.float32), np.zeros(b * t, np.float32)
        usual = self.theta * height * width
        for at, found in enumerate(difference(frames, self.pictures[number]) > self.threshold):
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

"""What differs from a fixed ground: where masks and shifts may start from.  Not in the paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Blob:
    """A connected part of what differs.

    Args: mask (h, w) bool; area in pixels; middle (x, y); box (left, top, right, bottom), the last two exclusive.
    """

    mask: np.ndarray
    area: int
    middle: tuple[float, float]
    box: tuple[int, int, int, int]


def difference(frames: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """How far pixels are from the ground, the largest of the channels, over 3x3 pixels; a change of light is taken out.

    Args: frames (n, h, w, 3) and ground (h, w, 3) or (n, h, w, 3), uint8.   Returns: (n, h, w) float32 in [0, 255].
    """
    signed = frames.astype(np.float32) - ground.astype(np.float32)
    signed -= np.median(signed[:, ::2, ::2], axis=(1, 2), keepdims=True)
    return ndimage.uniform_filter(np.abs(signed).max(axis=3), size=(0, 3, 3))


def blobs(mask: np.ndarray, *, least: int) -> list[Blob]:
    """The parts of mask (h, w) bool with at least `least` pixels; parts near each other count as one."""
    near = max(1, round(0.25 * np.sqrt(mask.sum())))
    labels, count = ndimage.label(ndimage.binary_dilation(mask, iterations=min(near, 6)))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels, max_label=count), start=1):
        part = np.zeros_like(mask)
        part[place] = mask[place] & (labels[place] == number)
        area = int(part.sum())
        if area >= least:
            rows, columns = np.nonzero(part)
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            found.append(Blob(part, area, (float(columns.mean()), float(rows.mean())), box))
    return found

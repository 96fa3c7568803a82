"""Clips on their way into a store, and out of it again as batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
        position: (t, 2) float32, (x, y) pixels, centre of the foreground.
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

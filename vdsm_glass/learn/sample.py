"""Small frames of a video, for looking at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.sources.collection import Video, decode_frames
from data_modules.sources.video import open_film

LONGEST = 480
"""Pixels of a small frame's longer side."""
BURST = 16
"""Neighbouring frames that are looked at together."""


@dataclass(frozen=True)
class Sample:
    """Small frames of one video.

    Args:
        frames: (n, h, w, 3) uint8.
        burst: (n,) which frames are neighbours in the film: those of the same number.
        scale: pixels of the film for one of these.
        size: height and width of the film.
        total: frames of the film.
    """

    frames: np.ndarray
    burst: np.ndarray
    scale: float
    size: tuple[int, int]
    total: int


def sample(video: Video, *, frames: int) -> Sample:
    """At least `frames` frames of a video, or all, in bursts of neighbours spread over it."""
    total = video.count_frames()
    bursts = -(-frames // BURST)
    starts = [0] if total <= 2 * frames else np.linspace(0, total - BURST, bursts).round().astype(int).tolist()
    length = total if len(starts) == 1 else BURST
    found, burst, size = [], [], (0, 0)
    for number, start in enumerate(starts):
        for picture in decoded(video, start, start + length):
            size = (picture.height, picture.width)
            share = min(1.0, LONGEST / max(size))
            found.append(
                np.asarray(picture.resize([max(1, round(side * share)) for side in picture.size], reducing_gap=2.0))
            )
            burst.append(number)
    if len({frame.shape for frame in found}) > 1:
        raise DataError(f"{video.path}: frames differ in size. Convert the video to one size.")
    return Sample(np.stack(found), np.array(burst), max(1.0, max(size) / LONGEST), size, total)


def decoded(video: Video, first: int, stop: int) -> Iterator[Image.Image]:
    """Neighbouring frames of a film or a folder of pictures."""
    if video.pictures is not None:
        yield from decode_frames(video.path, first=first, stop=stop)
    else:
        with open_film(video.path) as film:
            yield from film.frames(first, stop)


def median_picture(frames: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, per pixel the median of (n, h, w, 3)."""
    return np.median(frames, axis=0).astype(np.uint8)

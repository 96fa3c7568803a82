"""What moves in the small frames of a video: the whole picture, or agents.

Masks (n, h, w) bool say what differs from the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdsm_glass.glass.difference import Blob, blobs
from vdsm_glass.learn.sample import Sample

EVERYWHERE = 0.33
"""Share of a frame's blocks that differ where not an agent but the picture changes."""
ALIKE = 6
"""Blocks of 16 that move alike where the camera moves: no agent reaches over so many."""
LEAST_AREA = 6
"""Pixels of the smallest agent."""
FAR, SLOW, WINDOW = 3, 0.125, 16
"""Pixels that the picture goes in 2 frames at least where the camera moves fast; pixels a frame over so many frames at
least where it moves slowly."""
SURE = 3.2
"""Times the standard error of the pace that a slow camera has at least: places of one that trembles are not in line."""
LEAST_WINDOW = 12
"""Frames that a clip has at least where a moving camera is looked for in it."""
COMPARABLE = 0.3
"""A second agent has at least this share of the first's area, and of its area times its excess: where a film is coded
coarsely, the ground differs a little where the agent was."""
DISTURBED = 8.0
"""How many times an agent's area differs in a frame that is left out."""


@dataclass(frozen=True)
class Track:
    """The agent of one sample.

    Args:
        present: (n,) whether an agent was seen in a frame.
        count: (n,) how many move.
        alike: (n,) whether two or more of them have gone the same way since 4 frames before, as where a camera passes
            over an even ground.
        boxes: (k, 4) left, top, right, bottom, and areas (k,) in pixels, of the main one in frames where it is.
        steps: (j,) pixels that it went between neighbouring frames.
    """

    present: np.ndarray
    count: np.ndarray
    alike: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    steps: np.ndarray


def track(each: Sample, excess: np.ndarray) -> Track:
    """Follows the main agent: of what differs and moves, that whose area is nearest to what the largest usually has.

    Args: excess (n, h, w), levels by which pixels differ from the ground more than noise does.
    """

    def weight(t: int, blob: Blob) -> float:
        return float(excess[t][blob.place][blob.mask].sum())

    mask = excess > 0
    found = [blobs(frame, least=LEAST_AREA) for frame in mask]
    parts = [mask[each.burst == number] for number in range(each.burst[-1] + 1)]
    moved = [part.any(axis=0) & ~part.all(axis=0) for part in parts]
    lively = [
        [blob for blob in blobs_of if (moved[number][blob.place] & blob.mask).sum() >= 0.15 * blob.area]
        for number, blobs_of in zip(each.burst, found, strict=True)
    ]
    largest = [max(blob.area for blob in blobs_of) for blobs_of in lively if blobs_of]
    usual = float(np.median(largest)) if largest else 0.0
    heaviest = [max(weight(t, blob) for blob in blobs_of) for t, blobs_of in enumerate(lively) if blobs_of]
    comparable = COMPARABLE * float(np.median(heaviest)) if heaviest else 0.0
    # Where much else differs, as when a person walks by, nothing is followed.
    disturbed = mask.sum(axis=(1, 2)) > DISTURBED * usual
    lively = [[] if disturbed[t] else blobs_of for t, blobs_of in enumerate(lively)]
    alike = np.array(
        [t >= 4 and each.burst[t] == each.burst[t - 4] and go_alike(lively[t - 4], lively[t]) for t in range(len(mask))]
    )
    present, count, boxes, areas, steps, before = [], [], [], [], [], None
    for t, blobs_of in enumerate(lively):
        fitting = [blob for blob in blobs_of if usual / 4 <= blob.area <= 4 * usual]
        fitting.sort(key=lambda blob: abs(np.log(blob.area / usual)))
        present.append(bool(fitting))
        count.append(sum(blob.area >= COMPARABLE * usual and weight(t, blob) >= comparable for blob in fitting))
        if fitting:
            boxes.append(fitting[0].box)
            areas.append(fitting[0].area)
            if before is not None and before[0] == each.burst[t]:
                steps.append(float(np.hypot(*(np.subtract(fitting[0].middle, before[1])))))
        before = (each.burst[t], fitting[0].middle) if fitting else None
    return Track(
        np.array(present),
        np.array(count),
        alike,
        np.array(boxes).reshape(-1, 4),
        np.array(areas, float),
        np.array(steps),
    )


def moves(each: Sample, mask: np.ndarray) -> np.ndarray:
    """(n,) whether the picture changes everywhere, or moves alike in many places.

    It moves where, within `WINDOW` frames, it twice goes `FAR` pixels in 2 frames, or goes on by `SLOW` pixels a frame:
    so a camera may tremble by a pixel to each side, but not go slowly.
    """
    everywhere = np.array([blocks(frame.astype(float), 8).mean(axis=(1, 2)) > 0.15 for frame in mask]).mean(axis=1)
    grey = each.frames.mean(axis=3, dtype=np.float32)
    panned = np.zeros(len(mask), bool)
    for number in range(each.burst[-1] + 1):
        (within,) = np.nonzero(each.burst == number)
        length = min(WINDOW, len(within))
        for stop in range(length, len(within) + length, length) if length >= LEAST_WINDOW else ():
            window = within[: min(stop, len(within))][-length:]
            middle = grey[window[length // 2]]
            slow = goes_on(np.array([moved_alike(middle, grey[t]) for t in window]))
            fast = [moved_alike(grey[t - 2], grey[t]) for t in window[length // 2 :: length // 2 - 1]]
            panned[window] |= slow or np.hypot(*np.transpose(fast)).min() >= FAR
    return (everywhere > EVERYWHERE) | panned


def goes_on(ways: np.ndarray) -> bool:
    """Whether places (n, 2), pixels, one a frame, go on in a line by `SLOW` or more a frame."""
    times = np.arange(len(ways)) - (len(ways) - 1) / 2
    pace = times @ ways / (times @ times)
    rest = ways - ways.mean(axis=0) - np.outer(times, pace)
    error = np.sqrt((rest**2).sum() / (len(ways) - 2) / (times @ times))
    return bool(np.hypot(*pace) >= max(SLOW, SURE * error))


def moved_alike(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """How far `ALIKE` or more of 4x4 blocks of grey pictures (h, w) have moved, (x, y) in pixels; 0 where none have."""
    found: dict[tuple[int, int], int] = {}
    for a, b in zip(blocks(before, 4), blocks(after, 4), strict=True):
        if min(a.std(), b.std()) < 4:
            continue
        window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
        spectrum = np.fft.rfft2((b - b.mean()) * window) * np.conj(np.fft.rfft2((a - a.mean()) * window))
        surface = np.fft.irfft2(spectrum / (np.abs(spectrum) + 1e-6 * np.abs(spectrum).max()), s=a.shape)
        at = np.unravel_index(surface.argmax(), a.shape)
        y, x = (int(p) if p <= side // 2 else int(p) - side for p, side in zip(at, a.shape, strict=True))
        if (x, y) != (0, 0):
            found[x, y] = found.get((x, y), 0) + 1
    near = {(x, y): sum(n for (u, v), n in found.items() if max(abs(u - x), abs(v - y)) <= 1) for x, y in found}
    most = max(near, key=lambda way: near[way], default=(0, 0))
    return most if near.get(most, 0) >= ALIKE else (0, 0)


def go_alike(before: Sequence[Blob], after: Sequence[Blob]) -> bool:
    """Whether two things or more have gone the same way, by more than `FAR` / 2 pixels, and most have."""
    ways = []
    for blob in before:
        like = [other for other in after if 0.5 <= other.area / blob.area <= 2]
        if like:
            steps = [np.subtract(other.middle, blob.middle) for other in like]
            ways.append(min(steps, key=np.linalg.norm))
    gone = [way for way in ways if np.linalg.norm(way) > FAR / 2]
    together = max((sum(np.linalg.norm(way - other) < 1.5 for other in gone) for way in gone), default=0)
    return bool(together >= 2 and together > len(ways) / 2)


def blocks(picture: np.ndarray, side: int) -> np.ndarray:
    """side x side blocks of (h, w), what is left over at the edges cut off: (side², h / side, w / side)."""
    h, w = (length // side for length in picture.shape)
    return picture[: h * side, : w * side].reshape(side, h, side, w).transpose(0, 2, 1, 3).reshape(side * side, h, w)

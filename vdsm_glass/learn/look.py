"""What videos show, before anything is trained: whether the camera moves, what moves, how many, how large, how fast.

All of it follows from the difference between a frame and the median picture of its video, in frames made small. Sizes
are in pixels of these small frames, unless a name says otherwise; `Sample.scale` leads to pixels of the film.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from data_modules.common.errors import DataError
from data_modules.common.files import replacing
from data_modules.sources.collection import Video
from vdsm_glass.glass.difference import difference, trembled
from vdsm_glass.learn.motion import Track, moves, track
from vdsm_glass.learn.sample import BURST, Sample, median_picture, sample

MOST_VIDEOS, MOST_FRAMES = 24, 288
"""How many videos are looked at, and frames of all together at least."""
LEAST_THRESHOLD, MOST_THRESHOLD, NOISES = 14.0, 35.0, 5.0
"""A pixel differs above so many times the noise, in these bounds of 255 levels: what is larger is no noise."""
SOME, TREMBLES = 60, 0.25
"""Frames from which a ground is made where the camera trembles, and by how many pixels it then does."""
OFTEN = 0.3
"""Share of frames in which something is seen, for it to be believed."""


@dataclass(frozen=True)
class Seen:
    """What was found in the videos.

    Args:
        size: height and width of the film in pixels; videos, frames, shortest: how many, and frames of the shortest.
        camera: share of frames in which the camera moved, or the whole picture changed.
        moving: share of frames in which an agent was seen.
        agents: how many move at once, most of the time; 0 where nothing moves.
        area: of the agent, a share of the frame; 0 where there is none.
        length: of the agent's box, its longer side, in pixels of the film.
        pace: pixels of the film from a frame to the next, the upper quartile.
        region: (left, top, width, height) in pixels of the film, where the agent is.
        span: (first, stop), the frames of the first video between which an agent is seen.
        threshold: levels of 255 above which a pixel differs.
        one_ground: whether all videos have the same median picture.
    """

    size: tuple[int, int]
    videos: int
    frames: int
    shortest: int
    camera: float
    moving: float
    agents: int
    area: float
    length: float
    pace: float
    region: tuple[int, int, int, int]
    span: tuple[int, int]
    threshold: float
    one_ground: bool

    @property
    def refusal(self) -> str | None:
        """Why GLASS cannot work here, or None."""
        if self.camera > OFTEN:
            return (
                f"the camera moves, or the whole picture changes, in {self.camera:.0%} of the frames. `learn` finds "
                "the agent by what differs from the ground, so it needs a fixed camera and steady light"
            )
        if self.agents == 0:
            return (
                "nothing moves: no frame differs from the median picture by more than noise, or what differs stays "
                "where it is. Take a part of the video in which the agent moves"
            )
        if self.agents > 1:
            return (
                f"{self.agents} agents of similar size move at once, or the camera passes over even ground. "
                "GLASS has one foreground: cut the video so that one of them is in it"
            )
        return None

    def said(self) -> list[str]:
        """What was seen, a sentence each."""
        height, width = self.size
        left, top, wide, high = self.region
        sentences = [
            f"{self.videos} videos of {width}x{height}, {self.frames} frames in all, the shortest has {self.shortest}.",
            f"The camera moves in {self.camera:.0%} of the frames.",
            f"An agent is seen in {self.moving:.0%} of the frames; agents at once: {self.agents}.",
        ]
        if self.agents:
            sentences += [
                f"It covers {self.area:.2%} of the frame and is {self.length:.0f} px long.",
                f"It moves {self.pace:.1f} px a frame.",
                f"It stays within {wide}x{high} px at ({left}, {top}), in frames {self.span[0]} to {self.span[1]}.",
            ]
        return sentences


def look(videos: Sequence[Video]) -> tuple[Seen, list[Sample]]:
    """Looks at videos.  Raises: DataError, one is damaged, or none has two frames."""
    chosen = [videos[int(i)] for i in np.unique(np.linspace(0, len(videos) - 1, MOST_VIDEOS).round())]
    samples = [sample(video, frames=max(2 * BURST, MOST_FRAMES // len(chosen))) for video in chosen]
    samples = [each for each in samples if len(each.frames) > 1]
    if not samples:
        raise DataError("the videos have one frame each, and motion takes two. Give longer ones.")
    totals = [each.total for each in samples]
    frames = sum(totals) if len(chosen) == len(videos) else round(np.mean(totals) * len(videos))
    return seen_in(samples, videos=len(videos), frames=frames), samples


def seen_in(samples: Sequence[Sample], *, videos: int, frames: int) -> Seen:
    """What is found in samples.  Args: videos and frames, how many there are in all."""
    grounds = [ground_of(each.frames) for each in samples]
    alike = {ground.shape for ground in grounds}
    one_ground = len(alike) == 1 and (len(samples) == 1 or _same(grounds))
    if one_ground and len(samples) > 1:
        grounds = [ground_of(np.concatenate([each.frames[::4] for each in samples]))] * len(samples)
    pairs = list(zip(samples, grounds, strict=True))
    differing = [difference(each.frames, ground) for each, ground in pairs]
    threshold = max(threshold_of(each) for each in differing)
    excesses = [found - threshold for found in differing]
    tracks = [track(each, excess) for each, excess in zip(samples, excesses, strict=True)]
    camera = [
        moves(each, excess > 0) | found.alike for each, excess, found in zip(samples, excesses, tracks, strict=True)
    ]
    boxes = np.concatenate([each.boxes for each in tracks])
    main = samples[0]
    height, width = main.size
    totals = [each.total for each in samples]
    about = Seen(
        size=main.size,
        videos=videos,
        frames=frames,
        shortest=min(totals),
        camera=float(np.mean(np.concatenate(camera))),
        moving=float(np.mean([share for each in tracks for share in each.present])),
        agents=0,
        area=0.0,
        length=0.0,
        pace=0.0,
        region=(0, 0, width, height),
        span=(0, main.total),
        threshold=threshold,
        one_ground=one_ground,
    )
    return about if not len(boxes) else with_agent(about, main, tracks)


def ground_of(frames: np.ndarray) -> np.ndarray:
    """The median picture (h, w, 3) of frames (n, h, w, 3), sharp also where the camera trembled."""
    ground = median_picture(frames)
    some = frames[:: 1 + len(frames) // SOME]
    ways = np.array([trembled(ground, frame) for frame in some])
    if np.hypot(*ways.T).mean() < TREMBLES:
        return ground
    back = zip(some, ways, strict=True)
    return median_picture(
        np.stack([ndimage.shift(each, (-y, -x, 0), order=1, mode="nearest") for each, (x, y) in back])
    )


def with_agent(about: Seen, main: Sample, tracks: Sequence[Track]) -> Seen:
    """What was seen, with its agent: how many, how large, how fast, where."""
    boxes, areas, steps, count = (
        np.concatenate([getattr(each, name) for each in tracks]) for name in ("boxes", "areas", "steps", "count")
    )
    shown = count[count > 0]
    several = float(np.mean(shown > 1))
    agents = 0 if about.moving < OFTEN / 3 else int(np.median(shown[shown > 1])) if several > OFTEN else 1
    height, width = main.size
    length = float(np.median(np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])))
    low = np.percentile(boxes[:, :2], 2, axis=0) - length / 2
    high = np.percentile(boxes[:, 2:], 98, axis=0) + length / 2
    left, top = (int(max(0, round(value * main.scale))) for value in low)
    right, bottom = (
        int(min(side, round(value * main.scale))) for side, value in zip((width, height), high, strict=True)
    )
    return replace(
        about,
        agents=agents,
        area=float(np.median(areas)) / main.frames[0, :, :, 0].size,
        length=length * main.scale,
        pace=float(np.percentile(steps, 75)) * main.scale if len(steps) else 0.0,
        region=(left, top, right - left, bottom - top),
        span=span(main, tracks[0].present),
    )


def span(each: Sample, present: np.ndarray) -> tuple[int, int]:
    """Between which frames of a film the agent is seen.  Args: present (n,), of a sample's frames."""
    shown = np.flatnonzero([present[each.burst == number].mean() >= OFTEN for number in np.unique(each.burst)])
    between = (each.total - BURST) / max(1, each.burst[-1])
    if each.burst[-1] == 0 or not len(shown):
        return 0, each.total
    return max(0, round((shown[0] - 0.5) * between)), min(each.total, round((shown[-1] + 0.5) * between) + BURST)


def threshold_of(differing: np.ndarray) -> float:
    """The level above which a pixel of (n, h, w) differs by more than noise; most pixels do not."""
    return float(np.clip(NOISES * np.median(differing), LEAST_THRESHOLD, MOST_THRESHOLD))


def _same(grounds: Sequence[np.ndarray]) -> bool:
    """Whether median pictures are alike but for an agent that rested in some."""
    together = np.median(np.stack(grounds), axis=0)
    return all((np.abs(ground - together).max(axis=2) > LEAST_THRESHOLD).mean() < 0.05 for ground in grounds)


def draw_findings(samples: Sequence[Sample], seen: Seen, path: Path) -> Path:
    """Draws four frames, what differs in them in red and the region as a box, and the median picture last."""
    each = samples[0]
    ground = ground_of(each.frames)
    frames = each.frames[:: 1 + len(each.frames) // 40]
    mask = difference(frames, ground) > seen.threshold
    order = np.argsort(-mask.mean(axis=(1, 2)))
    chosen = np.sort(order[np.linspace(0, len(order) // 2, 4).astype(int)])
    left, top, wide, high = (round(value / each.scale) for value in seen.region)
    cells = []
    for t in chosen:
        frame = frames[t].copy()
        edge = mask[t] & ~np.asarray(ndimage.binary_erosion(mask[t]), bool)
        frame[edge] = (255, 0, 0)
        box = np.zeros(mask[t].shape, bool)
        box[top : top + high, left : left + wide] = True
        frame[box & ~np.asarray(ndimage.binary_erosion(box), bool)] = (0, 160, 255)
        cells.append(frame)
    picture = np.concatenate([*cells, ground], axis=1)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return path

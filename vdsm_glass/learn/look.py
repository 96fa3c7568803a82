"""What videos show, before anything is trained: whether the camera moves, what moves, how many, how large, how fast.

All of it follows from the difference between a frame and the median picture of its video, in frames made small. Sizes
are in pixels of these small frames, unless a name says otherwise; `Sample.scale` leads to pixels of the film.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from data_modules.common.errors import DataError
from data_modules.sources.collection import Video, decode_frames
from data_modules.sources.video import open_film
from vdsm_glass.glass.difference import blobs, difference

LONGEST = 480
"""Pixels of a small frame's longer side."""
MOST_VIDEOS, MOST_FRAMES, BURST = 24, 288, 12
"""How many videos are looked at, frames of all together at least, and neighbouring frames in a burst."""
LEAST_THRESHOLD, NOISES = 14.0, 5.0
"""A pixel differs above this many of 255 levels, and above this many times the noise."""
LEAST_AREA = 6
"""Pixels of the smallest agent."""
EVERYWHERE = 0.5
"""Share of a frame's blocks that differ where not an agent but the picture changes."""
ALIKE = 6
"""Blocks of 16 that move alike where the camera moves: no agent reaches over so many."""
COMPARABLE = 0.3
"""A second agent has at least this share of the area of the first."""
DISTURBED = 8.0
"""How many times an agent's area differs in a frame that is left out."""
OFTEN = 0.3
"""Share of frames in which something is seen, for it to be believed."""


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
                f"{self.agents} agents of similar size move at once. GLASS has one foreground: cut the video so that "
                "one of them is in it"
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
                f"It stays within {wide}x{high} px at ({left}, {top}).",
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


def seen_in(samples: Sequence[Sample], *, videos: int, frames: int) -> Seen:
    """What is found in samples.  Args: videos and frames, how many there are in all."""
    grounds = [median_picture(each.frames) for each in samples]
    alike = {ground.shape for ground in grounds}
    one_ground = len(alike) == 1 and (len(samples) == 1 or _same(grounds))
    if one_ground and len(samples) > 1:
        grounds = [median_picture(np.concatenate([each.frames[::4] for each in samples]))] * len(samples)
    pairs = list(zip(samples, grounds, strict=True))
    differing = [difference(each.frames, ground) for each, ground in pairs]
    threshold = max(threshold_of(each) for each in differing)
    camera = [moves(each, found > threshold) for (each, _), found in zip(pairs, differing, strict=True)]
    tracks = [track(each, found > threshold) for (each, _), found in zip(pairs, differing, strict=True)]
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
        threshold=threshold,
        one_ground=one_ground,
    )
    return about if not len(boxes) else with_agent(about, main, tracks)


@dataclass(frozen=True)
class Track:
    """The agent of one sample.

    Args:
        present: (n,) whether an agent was seen in a frame.
        count: (n,) how many move.
        boxes: (k, 4) left, top, right, bottom, and areas (k,) in pixels, of the main one in frames where it is.
        steps: (j,) pixels that it went between neighbouring frames.
    """

    present: np.ndarray
    count: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    steps: np.ndarray


def track(each: Sample, mask: np.ndarray) -> Track:
    """Follows the main agent: of what differs and moves, that whose area is nearest to what the largest usually has.

    Args: mask (n, h, w) bool, what differs from the ground.
    """
    found = [blobs(frame, least=LEAST_AREA) for frame in mask]
    moved = np.stack([mask[each.burst == number].any(0) & ~mask[each.burst == number].all(0) for number in each.burst])
    lively = [
        [blob for blob in blobs_of if (moved[t] & blob.mask).sum() >= 0.15 * blob.area]
        for t, blobs_of in enumerate(found)
    ]
    largest = [max(blob.area for blob in blobs_of) for blobs_of in lively if blobs_of]
    usual = float(np.median(largest)) if largest else 0.0
    # Where much else differs, as when a person walks by, nothing is followed.
    disturbed = mask.sum(axis=(1, 2)) > DISTURBED * usual
    lively = [[] if disturbed[t] else blobs_of for t, blobs_of in enumerate(lively)]
    present, count, boxes, areas, steps, before = [], [], [], [], [], None
    for t, blobs_of in enumerate(lively):
        fitting = [blob for blob in blobs_of if usual / 4 <= blob.area <= 4 * usual]
        fitting.sort(key=lambda blob: abs(np.log(blob.area / usual)))
        present.append(bool(fitting))
        count.append(sum(blob.area >= COMPARABLE * usual for blob in fitting) if fitting else 0)
        if fitting:
            boxes.append(fitting[0].box)
            areas.append(fitting[0].area)
            if before is not None and before[0] == each.burst[t]:
                steps.append(float(np.hypot(*(np.subtract(fitting[0].middle, before[1])))))
        before = (each.burst[t], fitting[0].middle) if fitting else None
    return Track(
        np.array(present), np.array(count), np.array(boxes).reshape(-1, 4), np.array(areas, float), np.array(steps)
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
    )


def median_picture(frames: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8, per pixel the median of (n, h, w, 3)."""
    return np.median(frames, axis=0).astype(np.uint8)


def threshold_of(differing: np.ndarray) -> float:
    """The level above which a pixel of (n, h, w) differs by more than noise; most pixels do not."""
    return max(LEAST_THRESHOLD, NOISES * float(np.median(differing)))


def moves(each: Sample, mask: np.ndarray) -> np.ndarray:
    """(n,) whether the picture changes everywhere, or moves alike in many places, since the frame 4 before."""
    everywhere = np.array([blocks(frame.astype(float), 8).mean(axis=(1, 2)) > 0.15 for frame in mask]).mean(axis=1)
    grey = each.frames.mean(axis=3)
    panned = np.zeros(len(mask), bool)
    for t in range(4, len(mask), 2):
        if each.burst[t] == each.burst[t - 4]:
            panned[t] = panned[t - 1] = moved_alike(grey[t - 4], grey[t]) >= ALIKE
    return (everywhere > EVERYWHERE) | panned


def moved_alike(before: np.ndarray, after: np.ndarray) -> int:
    """How many of 4x4 blocks of grey pictures (h, w) have moved by the same whole shift that is not 0."""
    found: dict[tuple[int, int], int] = {}
    for a, b in zip(blocks(before, 4), blocks(after, 4), strict=True):
        if min(a.std(), b.std()) < 4:
            continue
        window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
        spectrum = np.fft.rfft2((b - b.mean()) * window) * np.conj(np.fft.rfft2((a - a.mean()) * window))
        surface = np.fft.irfft2(spectrum / (np.abs(spectrum) + 1e-6 * np.abs(spectrum).max()), s=a.shape)
        at = np.unravel_index(surface.argmax(), a.shape)
        x, y = (int(p) if p <= side // 2 else int(p) - side for p, side in zip(at, a.shape, strict=True))
        if (x, y) != (0, 0):
            found[x, y] = found.get((x, y), 0) + 1
    near = [sum(n for (u, v), n in found.items() if max(abs(u - x), abs(v - y)) <= 1) for x, y in found]
    return max(near, default=0)


def blocks(picture: np.ndarray, side: int) -> np.ndarray:
    """side x side blocks of (h, w), what is left over at the edges cut off: (side², h / side, w / side)."""
    h, w = (length // side for length in picture.shape)
    return picture[: h * side, : w * side].reshape(side, h, side, w).transpose(0, 2, 1, 3).reshape(side * side, h, w)


def _same(grounds: Sequence[np.ndarray]) -> bool:
    """Whether median pictures are alike but for an agent that rested in some."""
    together = np.median(np.stack(grounds), axis=0)
    return all((np.abs(ground - together).max(axis=2) > LEAST_THRESHOLD).mean() < 0.05 for ground in grounds)


def draw_findings(samples: Sequence[Sample], seen: Seen, path: Path) -> Path:
    """Draws four frames, what differs in them in red and the region as a box, and the median picture last."""
    each = samples[0]
    ground = median_picture(each.frames)
    frames = each.frames[:: 1 + len(each.frames) // 40]
    mask = difference(frames, ground) > seen.threshold
    order = np.argsort(-mask.mean(axis=(1, 2)))
    chosen = np.sort(order[np.linspace(0, len(order) // 2, 4).astype(int)])
    left, top, wide, high = (round(value / each.scale) for value in seen.region)
    cells = []
    for t in chosen:
        frame = frames[t].copy()
        edge = mask[t] & ~ndimage.binary_erosion(mask[t])
        frame[edge] = (255, 0, 0)
        box = np.zeros(mask[t].shape, bool)
        box[top : top + high, left : left + wide] = True
        frame[box & ~ndimage.binary_erosion(box)] = (0, 160, 255)
        cells.append(frame)
    picture = np.concatenate([*cells, ground], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path

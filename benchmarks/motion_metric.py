"""Whether the Fréchet motion distance rises with damage to motion, and not with other colours.

    python -m benchmarks.motion_metric CLIPS [--clips 256 --frames 12]

CLIPS is a clip store, or a film, of which windows of time and place are taken. Half of the clips stay as they are, and
the others are damaged in eight ways, each in four grades; grade 0 leaves them as they are. Goals: Spearman's
correlation of grade and distance is 0.9 or more; after a change of colours the distance is at most 1.1 times grade 0's.
Writes benchmarks/results/motion-NAME.json and .png.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from scipy.stats import rankdata
from torch import Tensor
from torchvision.transforms.functional import adjust_hue

from benchmarks import common
from data_modules.sources.collection import decode_frames
from data_modules.store.format import SPLITS
from data_modules.store.reader import Store
from vdsm_glass.metrics.frechet import frechet_distance
from vdsm_glass.metrics.motion_distance import FMD
from vdsm_glass.pictures import draw_curves

FASTEST = 2
"""Clips are read so many times as long as they are scored, so that they can be played faster."""
FILM_SCALE, FILM_STRIDE = 5, 3
SHOWN = ("change", "fmd", "spearman", "times_clean")

Change = Callable[[Tensor, float, torch.Generator], Tensor]


def take(video: Tensor, index: Tensor) -> Tensor:
    """Frames by number, of every clip its own.  Args: video (n, t, c, h, w); index (n, t')."""
    return video[torch.arange(len(video))[:, None], index]


def in_order(video: Tensor) -> Tensor:
    """The numbers of the frames that are scored, (n, t)."""
    return torch.arange(video.shape[1] // FASTEST).expand(len(video), -1)


def shuffled(video: Tensor, window: float, generator: torch.Generator) -> Tensor:
    """Frames in random order within windows."""
    index = in_order(video)
    return take(video, (index // int(window) + torch.rand(index.shape, generator=generator)).argsort(dim=1))


def frozen(video: Tensor, share: float, _: torch.Generator) -> Tensor:
    """The last share of the frames stands still."""
    index = in_order(video)
    return take(video, index.clamp(max=round((1 - share) * (index.shape[1] - 1))))


def faster(video: Tensor, share: float, _: torch.Generator) -> Tensor:
    """This share of the clips runs twice as fast.

    One and a half times as fast would leave out every third frame, and the uneven steps would count as changes.
    """
    index = in_order(video).clone()
    index[: round(share * len(index))] *= FASTEST
    return take(video, index)


def jittered(video: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Each frame moved by up to so many pixels in both directions."""
    video = take(video, in_order(video))
    shifts = torch.randint(-int(most), int(most) + 1, (*video.shape[:2], 2), generator=generator).float()
    return warp(video, shifts[..., None, None])


def reversed_in_part(video: Tensor, share: float, _: torch.Generator) -> Tensor:
    """In this share of the clips the second half runs backwards."""
    index = in_order(video).clone()
    half, chosen = index.shape[1] // 2, round(share * len(index))
    index[:chosen, half:] = index[:chosen, half:].flip(1)
    return take(video, index)


def dropped(video: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each frame but the first is replaced, with this probability, by the one shown before it."""
    index = in_order(video)
    kept = torch.rand(index.shape, generator=generator) >= share
    return take(video, torch.where(kept, index, 0).cummax(dim=1).values)


def averaged(video: Tensor, frames: float, _: torch.Generator) -> Tensor:
    """Each frame is the mean of so many, from itself on."""
    index = in_order(video)
    return torch.stack([take(video, index + later) for later in range(int(frames))]).mean(dim=0)


def warped(video: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """A smooth warp, another one in every frame, of up to so many pixels."""
    video = take(video, in_order(video))
    return warp(video, most * (2 * torch.rand(*video.shape[:2], 2, 3, 4, generator=generator) - 1))


def warp(video: Tensor, field: Tensor) -> Tensor:
    """Frames read at other places.  Args: field (n, t, 2, h', w'), (x, y) in pixels, enlarged to the frames."""
    n, (h, w) = len(video), video.shape[-2:]
    field = F.interpolate(field.flatten(end_dim=1), size=(h, w), mode="bilinear", align_corners=False)
    field = rearrange(field, "n xy h w -> n h w xy") * torch.tensor([2 / w, 2 / h])
    straight = F.affine_grid(torch.eye(2, 3).expand(len(field), -1, -1), [len(field), 3, h, w], align_corners=False)
    frames = rearrange(video, "n t c h w -> (n t) c h w")
    frames = F.grid_sample(frames, straight + field, padding_mode="border", align_corners=False)
    return rearrange(frames, "(n t) c h w -> n t c h w", n=n)


DAMAGES: dict[str, tuple[Change, tuple[float, ...]]] = {
    "order: shuffled within n frames": (shuffled, (2, 3, 6, 12)),
    "freeze: the last share stands still": (frozen, (0.25, 0.5, 0.75, 1)),
    "speed: share of clips twice as fast": (faster, (0.25, 0.5, 0.75, 1)),
    "jitter: pixels": (jittered, (1, 2, 4, 8)),
    "reversal: share of clips": (reversed_in_part, (0.25, 0.5, 0.75, 1)),
    "dropped frames: share": (dropped, (0.1, 0.25, 0.5, 0.75)),
    "temporal blur: frames": (averaged, (2, 3, 5, 7)),
    "warp: pixels": (warped, (1, 2, 4, 8)),
}
COLOURS: dict[str, Callable[[Tensor], Tensor]] = {
    "hue by 0.15 turns": lambda video: adjust_hue(video, 0.15),  # a third of a turn would swap channels
    "gain 0.6": lambda video: 0.6 * video,
    "channels swapped": lambda video: video[:, :, [2, 0, 1]],
    "inverted": lambda video: 1 - video,
    "white balance 1, 0.8, 0.6": lambda video: video * torch.tensor([1, 0.8, 0.6]).view(3, 1, 1),
    "gamma 1.5": lambda video: video**1.5,
}


def clean(video: Tensor) -> Tensor:
    """The clip as it is."""
    return take(video, in_order(video))


class Trial:
    """Clips and what is done to them; processes are forked from the one that has read the clips.

    Args: clips (n, 2 t, 3, h, w) uint8, of which every second one is damaged; only, parts of names of changes.
    """

    def __init__(self, clips: Tensor, only: Sequence[str] = ("",)) -> None:
        self.clips = clips
        self.damages = {name: each for name, each in DAMAGES.items() if any(part in name for part in only)}
        self.colours = [name for name in COLOURS if any(part in name for part in only)]
        self.jobs: list[tuple[str, float | None]] = [("real", None), ("clean", None)]
        self.jobs += [(name, grade) for name, (_, grades) in self.damages.items() for grade in grades]
        self.jobs += [(name, None) for name in self.colours]

    @torch.no_grad()
    def gaussian(self, job: tuple[str, float | None]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the histograms of the clips after a change; NumPy's, which cross processes."""
        torch.set_num_threads(1)
        name, grade = job
        metric, generator = FMD(), torch.Generator().manual_seed(0)
        clips = self.clips[0 if name == "real" else 1 :: 2]
        for part in clips.split(16):
            video = part.float() / 255
            if name in DAMAGES and grade is not None:
                video = DAMAGES[name][0](video, grade, generator)
            else:
                video = COLOURS.get(name, lambda same: same)(clean(video))
            metric.update(video, real=True)
        mean, covariance = metric.gaussian("real")
        return mean.numpy(), covariance.numpy()

    def measure(self, processes: int) -> list[dict[str, Any]]:
        """A row for each damage and each change of colours."""
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            found = dict(zip(self.jobs, pool.imap(self.gaussian, self.jobs), strict=True))
        gaussians = {job: tuple(map(torch.from_numpy, each)) for job, each in found.items()}
        distances = {job: float(frechet_distance(*gaussians["real", None], *each)) for job, each in gaussians.items()}
        floor, rows = distances["clean", None], []
        for name, (_, grades) in self.damages.items():
            values = [floor, *(distances[name, grade] for grade in grades)]
            spearman = float(np.corrcoef(range(len(values)), rankdata(values) - 1)[0, 1])
            rows.append(row(name, [None, *grades], values, spearman=round(spearman, 3)))
        for name in self.colours:
            value = distances[name, None]
            rows.append(row(name, [None, name], [floor, value], times_clean=round(value / floor, 3)))
        return rows


def row(change: str, grades: list[Any], values: list[float], **found: float) -> dict[str, Any]:
    """One row of the JSON; the first grade is no change."""
    return {"change": change, "grades": grades, "fmd": [round(value, 5) for value in values], **found}


def from_store(folder: Path, n: int, frames: int) -> Tensor:
    """The first n clips that are long enough, of all splits, (n, frames, 3, h, w) uint8."""
    store, found = Store.open(folder, None), []
    for split in map(store.split, SPLITS):
        long = np.flatnonzero(split.lengths >= frames) if len(split) else []
        found += [torch.from_numpy(np.array(split.frames(int(k), 0, frames))) for k in long[: n - len(found)]]
    return torch.stack(found)


def from_film(path: Path, n: int, frames: int) -> Tensor:
    """n windows of time and place, (n, frames, 3, h, w) uint8: half of the width and height at a fifth of the size."""
    pictures = decode_frames(path)
    film = np.stack([np.asarray(picture.reduce(FILM_SCALE)) for picture in pictures][::FILM_STRIDE])
    h, w = film.shape[1] // 2, film.shape[2] // 2
    draw, found = np.random.default_rng(0), []
    for _ in range(n):
        t, y, x = (int(draw.integers(most)) for most in (len(film) - frames, film.shape[1] - h, film.shape[2] - w))
        found.append(torch.from_numpy(film[t : t + frames, y : y + h, x : x + w].transpose(0, 3, 1, 2).copy()))
    return torch.stack(found)


def main() -> None:
    """Measures and writes the JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="CLIPS", type=Path)
    parser.add_argument("--clips", type=int, default=256, help="on each side")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""], help="only changes with that in their name")
    parser.add_argument("--name", help="of the files; by default of what CLIPS is called")
    parser.add_argument("--out", type=Path, default=common.RESULTS, help="folder; benchmarks/results by default")
    args = parser.parse_args()
    read = from_film if args.source.is_file() else from_store
    clips = read(args.source, 2 * args.clips, FASTEST * args.frames)
    name = args.name or args.source.stem.partition("-")[0]
    rows = Trial(clips, args.only).measure(args.processes)
    common.show([{key: each.get(key) for key in SHOWN} for each in rows], title=f"FMD of {name}")
    picture = args.out / f"motion-{name}.png"
    args.out.mkdir(parents=True, exist_ok=True)
    draw_curves({each["change"]: each["fmd"] for each in rows if "spearman" in each}, picture, across="grade")
    settings = {"clips": len(clips) // 2, "frames": args.frames, "height": clips.shape[-2], "width": clips.shape[-1]}
    path = picture.with_suffix(".json")
    common.write_results(path, device=torch.device("cpu"), settings={"name": name, **settings}, results=rows)


if __name__ == "__main__":
    main()

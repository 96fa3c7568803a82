"""Clips a second from the store, against decoding folders of PNG pictures and against copying the bytes.

    python -m benchmarks.loader [--workers 0 2 --batches 100 --repeats 5]

Batches are those of VDSM on Sprites (20 clips of 8 frames of 64x64) and of GLASS on W-Sprites (4 of 12 of 96x128),
from clips that our code draws, with all labels that the dataset has. The baseline is what public implementations do: a
folder a clip, a PNG picture a frame, opened with Pillow when it is asked for, without labels. The floor is one copy of
as many mapped bytes. "decoded" turns the bytes into numbers in the training process, which a GPU does otherwise. All
files are in the page cache. `cpu_ms_per_batch` is what a batch costs the training process, which with loader processes
is what is left to it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks import common
from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.sprites import Sprites
from data_modules.store.reader import StoreSplit
from data_modules.w_sprites import WSprites
from vdsm_glass.processor import keep_freed_memory

CPU = torch.device("cpu")
STORE, DECODED, PNG, FLOOR = "store", "decoded", "PNG", "copy"


@dataclass(frozen=True)
class Case:
    """One kind of batch."""

    name: str
    kind: type[VideoDataModule]
    size: tuple[int, int]
    batch: int
    frames: int

    def module(self, root: Path, workers: int, batches: int) -> VideoDataModule:
        """The dataset, prepared."""
        module = self.kind(
            root=str(root),
            tiny=True,
            size=self.size,
            clip_length=self.frames,
            batch_size=self.batch,
            num_workers=workers,
            batches_per_epoch=batches,
        )
        module.prepare_data()
        return module


CASES = (
    Case("64x64x8", Sprites, size=(64, 64), batch=20, frames=8),
    Case("96x128x12", WSprites, size=(96, 128), batch=4, frames=12),
)


class PictureFolders(Dataset[Tensor]):
    """A random window of each folder's pictures, (t, 3, h, w) float32 in [0, 1]."""

    def __init__(self, folder: Path, length: int) -> None:
        self.clips = [sorted(clip.iterdir()) for clip in sorted(folder.iterdir())]
        self.length = length

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:
        pictures = self.clips[index]
        start = int(torch.randint(len(pictures) - self.length + 1, ()))
        frames = [np.asarray(Image.open(path).convert("RGB")) for path in pictures[start : start + self.length]]
        return torch.from_numpy(rearrange(np.stack(frames), "t h w c -> t c h w")).float() / 255


def write_pictures(part: StoreSplit, folder: Path) -> Path:
    """Every clip of `part` as a folder of PNG pictures."""
    for clip in range(len(part)):
        place = folder / f"{clip:05d}"
        place.mkdir(parents=True)
        for number, frame in enumerate(part.frames(clip)):
            Image.fromarray(rearrange(frame, "c h w -> h w c")).save(place / f"{number:05d}.png")
    return folder


def taking(batches: Iterator[Any], count: int) -> Callable[[], None]:
    """Takes the next `count` batches."""

    def step() -> None:
        for _ in range(count):
            next(batches)

    return step


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Epoch after epoch."""
    return chain.from_iterable(repeat(loader))


def decoded(batches: Iterator[VideoBatch]) -> Iterator[VideoBatch]:
    """As models see them, decoded here on the CPU."""
    return (batch.decoded() for batch in batches)


def loaders(case: Case, pictures: PictureFolders, root: Path, workers: int, batches: int) -> dict[str, Iterator[Any]]:
    """Endless batches, by the way to get them."""
    ours = [endless(case.module(root, workers, 10 * batches).train_dataloader()) for _ in range(2)]
    drawn = RandomSampler(pictures, replacement=True, num_samples=10 * batches * case.batch)
    theirs = DataLoader(
        pictures, batch_size=case.batch, sampler=drawn, num_workers=workers, persistent_workers=workers > 0
    )
    return {STORE: ours[0], DECODED: decoded(ours[1]), PNG: endless(theirs)}


def copying(part: StoreSplit, case: Case, count: int) -> Callable[[], None]:
    """Copies the pictures of `count` batches, as bytes, to where they were copied to before."""
    frames = part.array("video")
    rows = case.batch * case.frames
    out = np.empty((rows, *frames.shape[1:]), np.uint8)

    def step() -> None:
        for number in range(count):
            first = number * rows % (len(frames) - rows)
            np.copyto(out, frames[first : first + rows])

    return step


def measure(case: Case, args: argparse.Namespace, root: Path) -> list[dict[str, Any]]:
    """A row for each way to get the case's batches."""
    part = case.module(root, 0, 1).store.split("train")
    pictures = PictureFolders(write_pictures(part, root / "pictures" / case.name), case.frames)
    steps, taken = {(FLOOR, None): copying(part, case, args.batches)}, {(FLOOR, None): args.batches}
    for workers in args.workers:
        for way, batches in loaders(case, pictures, root, workers, args.batches).items():
            taken[way, workers] = max(1, args.batches // 10) if way == PNG else args.batches
            steps[way, workers] = taking(batches, taken[way, workers])
    named = {f"{way} {workers}": step for (way, workers), step in steps.items()}
    found = common.median_timings(named, device=CPU, repeats=args.repeats)
    seconds = {key: found[f"{key[0]} {key[1]}"].wall / taken[key] for key in steps}
    return [
        {
            "clips": case.name,
            "batch": case.batch,
            "way": way,
            "workers": workers,
            "clips_per_s": round(case.batch / seconds[way, workers]),
            "ms_per_batch": round(1e3 * seconds[way, workers], 3),
            "cpu_ms_per_batch": round(1e3 * found[f"{way} {workers}"].cpu / taken[way, workers], 3),
            "times_png": round(seconds[PNG, workers] / seconds[way, workers], 1) if way in (STORE, DECODED) else None,
            "times_the_copy": round(seconds[way, workers] / seconds[FLOOR, None], 1),
        }
        for way, workers in steps
    ]


def main() -> None:
    """Measures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--batches", type=int, default=200, help="taken in one go; of PNG folders a tenth")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "loader-cpu.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as `vdsm-glass fit` does on a CPU; all ways profit alike
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for case in CASES for row in measure(case, args, Path(folder))]
    common.show(rows, title="Loading, median times")
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    common.write_results(args.out, device=CPU, settings=settings, results=rows)


if __name__ == "__main__":
    main()

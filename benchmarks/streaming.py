"""Clips from our store, from our cache of a store elsewhere, and from LitData's stream: speed, and resuming.

    pip install litdata
    python -m benchmarks.streaming [--workers 0 2 --batches 200 --repeats 7]

Batches as in `benchmarks.loader`. LitData's samples are whole clips with their labels in chunks of 64 MB, of which a
random window is cut, which epoch and clip determine; its order within an epoch is its own. All files are in the page
cache. `resumes`: whether a new loader that takes over the state after some batches gives the very batches that the
first one gives next.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from litdata import StreamingDataLoader, StreamingDataset, optimize  # pyright: ignore[reportMissingImports]

from benchmarks import common
from benchmarks.loader import CASES, CPU, Case, endless, taking
from data_modules.base import VideoDataModule
from vdsm_glass.processor import keep_freed_memory


class Streamed(StreamingDataset):
    """A random window of each sample."""

    def __init__(self, folder: Path, length: int) -> None:
        super().__init__(str(folder), shuffle=True)
        self.length = length

    def __getitem__(self, index: Any) -> dict[str, Any]:
        sample = super().__getitem__(index)
        draw = random.Random(f"{self.current_epoch} {getattr(index, 'index', index)}")
        start = draw.randint(0, len(sample["video"]) - self.length)
        return sample | {"video": sample["video"][start : start + self.length].clone()}


class Sample:
    """A clip by its number.  Args: module, prepared."""

    def __init__(self, module: VideoDataModule) -> None:
        self.part = module.store.split("train")

    def __call__(self, clip: int) -> dict[str, Any]:
        labels = {name: int(self.part.array(name)[clip]) for name in ("identity", "action")}
        return {"video": torch.from_numpy(np.array(self.part.frames(clip)))} | labels


def streamed(folder: Path, case: Case, workers: int) -> StreamingDataLoader:
    """LitData's batches."""
    return StreamingDataLoader(
        Streamed(folder, case.frames), batch_size=case.batch, num_workers=workers, persistent_workers=workers > 0
    )


def resumes(first: Any, again: Any, after: int = 3, more: int = 3) -> bool:
    """Whether `again` goes on with the batches that `first` gives after its state was taken."""
    batches = iter(first)
    for _ in range(after):
        next(batches)
    again.load_state_dict(first.state_dict())
    wanted = [next(batches)["video"] for _ in range(more)]
    return all(torch.equal(batch["video"], other) for batch, other in zip(again, wanted, strict=False))


def measure(case: Case, args: argparse.Namespace, root: Path) -> list[dict[str, Any]]:
    """A row for each way and number of workers."""
    module = case.module(root, 0, 1)
    chunks = root / "chunks" / case.name
    numbers = list(range(len(module.store.split("train"))))
    optimize(fn=Sample(module), inputs=numbers, output_dir=str(chunks), chunk_bytes="64MB", num_workers=1)
    steps = {}
    for workers in args.workers:
        near, far = (case.module(root, workers, 10 * args.batches) for _ in range(2))
        far.store_url = str(near.store_folder())
        ways = {"store": near.train_dataloader(), "cached": far.train_dataloader()}
        ways["LitData"] = streamed(chunks, case, workers)
        steps |= {(way, workers): taking(endless(loader), args.batches) for way, loader in ways.items()}
    named = {f"{way} {workers}": step for (way, workers), step in steps.items()}
    found = common.median_timings(named, device=CPU, repeats=args.repeats)
    exact = {"LitData": resumes(streamed(chunks, case, 0), streamed(chunks, case, 0))}
    return [
        {
            "clips": case.name,
            "way": way,
            "workers": workers,
            "clips_per_s": round(args.batches * case.batch / found[f"{way} {workers}"].wall),
            "cpu_ms_per_batch": round(1e3 * found[f"{way} {workers}"].cpu / args.batches, 3),
            "resumes": exact.get(way),
        }
        for way, workers in steps
    ]


def main() -> None:
    """Measures and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--batches", type=int, default=200, help="taken in one go")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for case in CASES for row in measure(case, args, Path(folder))]
    common.show(rows, title="Streaming, median times")
    common.write_results(common.RESULTS / "streaming-cpu.json", device=CPU, settings=vars(args), results=rows)


if __name__ == "__main__":
    main()

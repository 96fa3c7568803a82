"""`prepare folder` by several workers: that the bytes are the same, what a killed worker costs, and what two bring.

python -m benchmarks.prepare [CLIPS]
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from distributed import LocalCluster

from benchmarks import common
from data_modules.drawings.tiny_video import write_film
from data_modules.folder import VideoFolder
from data_modules.store.build import open_or_build
from data_modules.store.format import SPLITS

ROUNDS = 3
"""How often one and two local workers take turns; the shortest time of each counts."""


def write_clips(folder: Path, clips: int) -> None:
    """`clips` films of 48 frames, 240x320, of a square that moves over noise."""
    folder.mkdir()
    ground = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    for number in range(clips):
        video = np.stack([ground] * 48)
        for t in range(48):
            video[t, number % 200 : number % 200 + 40, 5 * t : 5 * t + 40] = number % 256
        write_film(folder / f"{number:04}.mp4", video)


def build(
    videos: Path, root: Path, during: Callable[[], object] = lambda: None, **options: object
) -> tuple[float, str]:
    """Seconds of building the store, and the SHA-256 of all its files; `during` is called when the first clip is in."""
    module = VideoFolder(videos=str(videos), root=str(root))
    called = threading.Event()

    def on_progress(_: str, clips: int) -> None:
        if clips and not called.is_set():
            called.set()
            during()

    began = time.perf_counter()
    folder = open_or_build(module, on_progress=on_progress, **options).folder  # pyright: ignore[reportArgumentType]
    seconds = time.perf_counter() - began
    digest = hashlib.sha256()
    for file in sorted(path for split in SPLITS for path in (folder / split).iterdir()):
        digest.update(file.read_bytes())
    digest.update((folder / "manifest.json").read_bytes())
    return seconds, digest.hexdigest()


def main(clips: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos")
        write_clips(videos, clips)
        roots = (Path(folder, f"root-{number}") for number in range(99))
        build(videos, next(roots), workers=1)  # warms the cache of files
        local: dict[int, list[float]] = {1: [], 2: []}
        digests = set()
        for _ in range(ROUNDS):
            for workers, times in local.items():
                seconds, digest = build(videos, next(roots), workers=workers)
                times.append(seconds)
                digests.add(digest)
        with LocalCluster(4, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
            whole, digest = build(videos, next(roots), cluster=cluster.scheduler_address)
            digests.add(digest)
            victim = cluster.workers[0].pid
            disturbed, digest = build(
                videos, next(roots), lambda: os.kill(victim, signal.SIGKILL), cluster=cluster.scheduler_address
            )
            digests.add(digest)
    row = {
        "one_local_worker_s": local[1],
        "two_local_workers_s": local[2],
        "efficiency_of_two": min(local[1]) / min(local[2]) / 2,
        "cluster_of_four_s": whole,
        "one_of_them_killed_s": disturbed,
        "different_stores": len(digests),
        "load_average": os.getloadavg(),
    }
    print(row)
    out = Path("benchmarks/results/prepare-cpu.json")
    common.write_results(out, device=torch.device("cpu"), settings={"clips": clips}, results=[row])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)

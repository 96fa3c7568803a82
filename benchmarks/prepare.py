"""`prepare folder` by several workers: that the bytes are the same, what a killed worker costs, and what two bring.

    python -m benchmarks.prepare [CLIPS]

Efficiency is the time of one worker over twice that of two; it is given on the clock, and for processor time, in which
other programs on the machine hardly count. Two builds at once, which have nothing to do with each other, show what the
machine itself allows.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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
FRAMES, HEIGHT, WIDTH = 24, 96, 128


def write_clips(folder: Path, clips: int) -> None:
    """`clips` films of a square that moves over noise."""
    folder.mkdir()
    ground = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for number in range(clips):
        video = np.stack([ground] * FRAMES)
        for t in range(FRAMES):
            video[t, number % 64 : number % 64 + 32, 4 * t : 4 * t + 32] = number % 256
        write_film(folder / f"{number:04}.mp4", video)


def processor_time() -> float:
    """Seconds that this process and its ended children took of the processor."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def build(
    videos: Path, root: Path, during: Callable[[], object] = lambda: None, **options: object
) -> tuple[float, float, str]:
    """Seconds of building the store, those of the processor, and the SHA-256 of all its files.

    `during` is called when the first clip is in.
    """
    module = VideoFolder(videos=str(videos), root=str(root))
    called = threading.Event()

    def on_progress(_: str, clips: int) -> None:
        if clips and not called.is_set():
            called.set()
            during()

    began, used = time.perf_counter(), processor_time()
    folder = open_or_build(module, on_progress=on_progress, **options).folder  # pyright: ignore[reportArgumentType]
    seconds, used = time.perf_counter() - began, processor_time() - used
    digest = hashlib.sha256()
    for file in sorted(path for split in SPLITS for path in (folder / split).iterdir()):
        digest.update(file.read_bytes())
    digest.update((folder / "manifest.json").read_bytes())
    return seconds, used, digest.hexdigest()


def main(clips: int) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos")
        write_clips(videos, clips)
        roots = (Path(folder, f"root-{number}") for number in range(99))
        build(videos, next(roots), workers=1)  # warms the cache of files
        times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        digests, at_once = set(), []
        for _ in range(ROUNDS):
            with ProcessPoolExecutor(2) as pool:
                both = [pool.submit(build, videos, next(roots), workers=1) for _ in range(2)]
                at_once.append(max(each.result()[0] for each in both))
            for workers, found in times.items():
                *seconds, digest = build(videos, next(roots), workers=workers)
                found.append((seconds[0], seconds[1]))
                digests.add(digest)
        cluster = LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        assert isinstance(cluster, LocalCluster)
        address = cluster.scheduler_address
        whole, _, digest = build(videos, next(roots), cluster=address)
        digests.add(digest)
        victim = next(iter(cluster.workers.values())).pid
        disturbed, _, digest = build(videos, next(roots), lambda: os.kill(victim, signal.SIGKILL), cluster=address)
        digests.add(digest)
        cluster.close()
    clock, processor = ([min(each[i] for each in times[workers]) for workers in (1, 2)] for i in (0, 1))
    row = {
        "clock_s": clock,
        "processor_s": processor,
        "efficiency_on_the_clock": clock[0] / clock[1] / 2,
        "two_builds_at_once_s": min(at_once),
        "efficiency_of_two_builds_at_once": clock[0] / min(at_once),
        "efficiency_of_the_processor": processor[0] / processor[1],
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

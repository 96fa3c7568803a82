"""Pages without a server of their own: how large, how soon there, how fast, and how far from PyTorch's pictures.

    python -m benchmarks.web [--presses 60] glass.ckpt vdsm.ckpt

Each model is exported with `--web`, served by Python's own server and played in headless Chromium without network by
random keys; GLASS half of the time with a short memory. `frame_ms` is the time from a key to its picture (GLASS), or
of each frame of a clip (VDSM), on the browser's clock. `off` is the greatest difference of a pixel to PyTorch's, in
steps of 1/255; those of GLASS are read from the screen, where colours are whole steps.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from tests.vdsm_glass.play.browser import chromium
from tests.vdsm_glass.web.played import READY, opened, play_glass, play_vdsm
from vdsm_glass.commands.play import to_play
from vdsm_glass.web.export import export_web


def measure(checkpoint: Path, temporary: Path, *, presses: int) -> dict[str, Any]:
    """One row of the results."""
    model, data = to_play(checkpoint, None, [])
    folder = export_web(model, data, temporary / "page")
    files = [file for file in folder.rglob("*") if file.is_file()]
    page, play = ("glass", play_glass) if (folder / "glass.js").is_file() else ("vdsm", play_vdsm)
    with chromium(temporary / "profile") as driver:
        began = time.perf_counter()
        with opened(driver, folder, says=READY[page]):
            loaded = time.perf_counter() - began
            played = play(driver, checkpoint, presses=presses)
    frames = sorted(played.milliseconds)
    return {
        "model": f"{model.title}, {getattr(data, 'name', checkpoint.name)}",
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 1),
        "load_s": round(loaded, 1),
        "frames": len(frames),
        "frame_ms": round(statistics.median(frames), 1),
        "frame_ms_95": round(frames[int(0.95 * len(frames))], 1),
        "frame_ms_most": round(frames[-1], 1),
        "off": round(max(played.off), 2),
    }


def main() -> None:
    """Measures and prints, and writes results/web-cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--presses", type=int, default=60)
    options = parser.parse_args()
    rows = []
    for checkpoint in options.checkpoints:
        with tempfile.TemporaryDirectory() as temporary:
            rows.append(measure(checkpoint, Path(temporary), presses=options.presses))
    common.show(rows, title="Pages without a server")
    settings = {"presses": options.presses, "browser": "headless Chromium, 1280 x 1000"}
    common.write_results(common.RESULTS / "web-cpu.json", device=torch.device("cpu"), settings=settings, results=rows)


if __name__ == "__main__":
    main()

"""Forward and backward time of BlurPool, as two matrix products against the depthwise convolution that it equals.

    python -m benchmarks.blur_pool [--frames 160 --repeats 5]

The maps are those of VDSM's encoder at Sprites' batch of 20 sequences of 8 frames.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import common
from tests.reference.blur_pool import blur_pool_depthwise
from vdsm_glass.layers.blur_pool import BlurPool2d

MAPS = ((32, 63), (32, 31), (64, 15), (64, 7))  # channels, side
FORMATS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


def step(blur: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], None]:
    """Forward and backward."""
    cotangent = torch.randn_like(blur(x.detach()))

    def run() -> None:
        torch.autograd.grad(blur(x), x, cotangent)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/blur_pool-DEVICE.json")
    args = parser.parse_args()
    device = torch.device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    shown = Table("maps", "memory", "matrices", "depthwise", "times faster", title=f"BlurPool on {device}, median ms")
    rows = []
    for channels, side in MAPS:
        for name, memory_format in FORMATS.items():
            x = torch.randn(args.frames, channels, side, side, device=device)
            x = x.contiguous(memory_format=memory_format).requires_grad_()
            steps = {"matrices": step(BlurPool2d(size=side).to(device), x), "depthwise": step(blur_pool_depthwise, x)}
            found = common.median_timings(steps, device=device, repeats=args.repeats)
            row = {"maps": f"{channels}x{side}²", "memory": name}
            row |= {f"{way}_ms": round(1e3 * timing.wall, 3) for way, timing in found.items()}
            row |= {f"{way}_cpu_ms": round(1e3 * timing.cpu, 3) for way, timing in found.items()}
            row["times_faster"] = round(found["depthwise"].wall / found["matrices"].wall, 2)
            rows.append(row)
            shown.add_row(*(str(row[key]) for key in ("maps", "memory", "matrices_ms", "depthwise_ms", "times_faster")))
    Console().print(shown)
    out = args.out or common.RESULTS / f"blur_pool-{device.type}.json"
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    common.write_results(out, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()

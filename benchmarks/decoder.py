"""Forward and backward time of VDSM's decoder, layer by layer and whole, against the loop over sequences.

    python -m benchmarks.decoder [--batch 20 --frames 8 --experts 40 --width 1.0 --repeats 5]

Sprites' sizes by default. `pretrain`: gradients reach every expert, the mixture and the input. `sequence`: the experts
are frozen and blended without gradient, gradients reach the input alone. The loop is `benchmarks/loop.py`'s.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import common
from benchmarks.loop import LoopedConvTranspose2d
from vdsm_glass.layers.mixture_conv import Method, MixtureConvTranspose2d
from vdsm_glass.processor import keep_freed_memory

Way = Method | Literal["loop"]
WAYS: tuple[Way, ...] = ("matmul", "grouped", "subpixel", "loop")
STAGES = ("pretrain", "sequence")
SLOPE = 0.2


@dataclass(frozen=True)
class Layer:
    """One transposed convolution of the decoder and the side of the maps it takes."""

    in_channels: int
    out_channels: int
    side: int
    stride: int
    padding: int

    @property
    def name(self) -> str:
        out_side = (self.side - 1) * self.stride - 2 * self.padding + 4
        return f"{self.in_channels}x{self.side}² → {self.out_channels}x{out_side}²"

    def gigaflop(self, sequences: int, frames: int) -> float:
        """Of one forward pass."""
        return 2e-9 * sequences * frames * self.side**2 * self.in_channels * self.out_channels * 16


def sprites_layers(*, kappa_z: int, experts: int, width: float) -> list[Layer]:
    """(κ_z + κ_s)→512→256→128→64→3, hidden channels times `width`.  [VDSM suppl. section 3]"""
    channels = [kappa_z + experts, *(max(1, round(width * c)) for c in (512, 256, 128, 64)), 3]
    return [
        Layer(i, o, side=1, stride=1, padding=0) if depth == 0 else Layer(i, o, side=2 << depth, stride=2, padding=1)
        for depth, (i, o) in enumerate(pairwise(channels))
    ]


class Case:
    """Some consecutive layers with their experts, an input, a mixture: the same numbers for every method."""

    def __init__(self, layers: list[Layer], *, stage: str, args: argparse.Namespace, device: torch.device) -> None:
        torch.manual_seed(0)
        self.layers = layers
        first, last = layers[0], layers[-1]
        self.modules = [
            MixtureConvTranspose2d(
                experts=args.experts,
                in_channels=layer.in_channels,
                out_channels=layer.out_channels,
                stride=layer.stride,
                padding=layer.padding,
            )
            .to(device)
            .requires_grad_(stage == "pretrain")
            for layer in layers
        ]
        self.looped = [LoopedConvTranspose2d(module) for module in self.modules] if args.loop else []
        maps = torch.randn(args.batch, args.frames, first.side, first.side, first.in_channels, device=device)
        self.x = rearrange(maps, "b t h w c -> b t c h w").requires_grad_()
        logits = torch.randn(args.batch, args.experts, device=device)
        self.mixture = logits.softmax(dim=-1).requires_grad_(stage == "pretrain")
        side = (last.side - 1) * last.stride - 2 * last.padding + 4
        self.cotangent = torch.randn(args.batch, args.frames, last.out_channels, side, side, device=device)

    def inputs(self) -> list[Tensor]:
        """All tensors that take gradients in this stage."""
        parameters = [parameter for module in (*self.modules, *self.looped) for parameter in module.parameters()]
        return [tensor for tensor in (self.x, self.mixture, *parameters) if tensor.requires_grad]

    def forward(self, way: Way) -> Tensor:
        x = self.x
        for depth, module in enumerate(self.modules):
            x = F.leaky_relu(x, negative_slope=SLOPE) if depth else x
            if way == "loop":
                x = self.looped[depth](x, self.mixture)
            else:
                module.method = way
                x = module(x, self.mixture)
        return x

    def step(self, way: Way, *, autocast: bool) -> Callable[[], None]:
        """Forward and backward, gradients written and dropped as an optimiser's step does."""

        def run() -> None:
            with torch.autocast(device_type=self.x.device.type, dtype=torch.bfloat16, enabled=autocast):
                y = self.forward(way)
            y.backward(self.cotangent.to(y.dtype))
            for tensor in self.inputs():
                tensor.grad = None

        return run


def measure(layers: list[Layer], *, name: str, stage: str, precision: str, args: argparse.Namespace) -> list[dict]:
    """One row for every way of computing it."""
    device = torch.device(args.device)
    case = Case(layers, stage=stage, args=args, device=device)
    steps = {way: case.step(way, autocast=precision == "bf16") for way in WAYS if way != "loop" or args.loop}
    times = common.median_timings(steps, device=device, repeats=args.repeats, max_seconds=args.loop_seconds)
    passes = 3 if stage == "pretrain" else 2
    gigaflop = passes * sum(layer.gigaflop(args.batch, args.frames) for layer in layers)
    return [
        {
            "layer": name,
            "stage": stage,
            "precision": precision,
            "way": way,
            "median_ms": round(1e3 * times[way].wall, 3),
            "median_cpu_ms": round(1e3 * times[way].cpu, 3),
            "times_faster_than_loop": round(times["loop"].wall / times[way].wall, 2) if "loop" in times else None,
            "times_less_cpu_than_loop": round(times["loop"].cpu / times[way].cpu, 2) if "loop" in times else None,
            "gigaflop_per_s": round(gigaflop / times[way].wall, 1),
            "peak_mib": _mib(common.peak_memory(step, device)),
        }
        for way, step in steps.items()
    ]


def _mib(size: int | None) -> int | None:
    return None if size is None else round(size / 2**20)


def table(rows: list[dict[str, Any]], device: torch.device) -> Table:
    """A line for every layer, stage and precision, a column for every way."""
    title = f"VDSM decoder, forward + backward on {device}: median ms, (times faster than the loop), peak MiB"
    shown = Table("layer", "stage", *WAYS, title=title)
    for key in dict.fromkeys((row["layer"], row["stage"], row["precision"]) for row in rows):
        cells = {row["way"]: row for row in rows if (row["layer"], row["stage"], row["precision"]) == key}
        layer, stage, precision = key
        shown.add_row(layer, f"{stage} {precision}", *(_cell(cells.get(way)) for way in WAYS))
    return shown


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not run"
    faster, peak = row["times_faster_than_loop"], row["peak_mib"]
    parts = [f"{row['median_ms']:.1f}"]
    parts += [f"({faster:.1f}x)"] if faster else []
    parts += [f"{peak} MiB"] if peak is not None else []
    return " ".join(parts)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=20, help="sequences")
    parser.add_argument("--frames", type=int, default=8, help="frames of a sequence")
    parser.add_argument("--experts", type=int, default=40, help="κ_s")
    parser.add_argument("--kappa-z", type=int, default=30)
    parser.add_argument("--width", type=float, default=1.0, help="factor on the hidden channels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), help="default: fp32, on a GPU bf16 too")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's own choice")
    parser.add_argument("--loop-seconds", type=float, default=30.0, help="no more repeats of what took that long")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="leave the slow baseline out")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/decoder-DEVICE.json")
    return parser.parse_args()


def main() -> None:
    args = parse()
    device = torch.device(args.device)
    if device.type == "cpu":
        keep_freed_memory()  # as `vdsm-glass fit` does; the loop profits alike
    if args.threads:
        torch.set_num_threads(args.threads)
    precisions = args.precision or (("fp32", "bf16") if device.type == "cuda" else ("fp32",))
    layers = sprites_layers(kappa_z=args.kappa_z, experts=args.experts, width=args.width)
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        for stage in STAGES:
            for layer in layers:
                rows += measure([layer], name=layer.name, stage=stage, precision=precision, args=args)
            rows += measure(layers, name="decoder", stage=stage, precision=precision, args=args)
    Console(width=140).print(table(rows, device))
    settings = {key: value for key, value in vars(args).items() if key not in {"out", "precision"}}
    out = args.out or common.RESULTS / f"decoder-{device.type}.json"
    common.write_results(out, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()

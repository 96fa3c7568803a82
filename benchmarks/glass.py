"""A whole training step of GLASS, GMA alone and both analyses, at full width.

    python -m benchmarks.glass [--batch 4 --frames 6 --height 96 --width 128 --repeats 3]

W-Sprites' sizes by default. A step is all losses of its phase, perceptual ones included, backward pass and Adam. VGG-19
has its full size and random weights, which take as long as trained ones. On a GPU fp32 and bf16 are timed; `--way
compiled` or `graph` takes channels last, and compiles it or captures it as a CUDA graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks import common
from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.layers import vgg
from vdsm_glass.processor import keep_freed_memory

PHASES = ("gma", "joint")


@contextmanager
def full_vgg() -> Iterator[Path]:
    """A file of weights of VGG-19's own size."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / vgg.NAME
        torch.save(vgg.random_weights(divide_width_by=1), path)
        yield path


class Case:
    """The model as a recipe makes it, its optimiser and a batch.  Args: options, of the module."""

    def __init__(self, args: argparse.Namespace, weights: Path | None, **options: Any) -> None:
        torch.manual_seed(0)
        device = torch.device(args.device)
        self.module = GLASSModule(perceptual=args.perceptual, perceptual_weights=weights, **options).to(device).train()
        self.optimiser: torch.optim.Optimizer = self.module.configure_optimizers()["optimizer"]
        for group in self.optimiser.param_groups:
            group["capturable"] = args.way == "graph"
        self.video = torch.rand(args.batch, args.frames, 3, args.height, args.width, device=device) * 2 - 1
        self.T_f: int = args.teacher_forced

    def loss(self, phase: str) -> torch.Tensor:
        terms, layers, motion = self.module.global_terms(self.video)
        if phase == "joint":
            terms |= self.module.local_terms(Foregrounds.of(layers, motion), self.video, T_f=self.T_f)[0]
        return self.module.weights.total(terms)

    def trained(self, phase: str) -> torch.nn.Module:
        """What learns in a phase."""
        return self.module.net.gma if phase == "gma" else self.module.net

    def step(self, phase: str, *, autocast: bool = False) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast(device_type=self.video.device.type, dtype=torch.bfloat16, enabled=autocast):
                loss = self.loss(phase)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

        return run


def measure(phase: str, args: argparse.Namespace, weights: Path | None) -> list[dict[str, Any]]:
    """A row for each way to take a step."""
    device = torch.device(args.device)
    plain = Case(args, weights)
    least = common.work(plain.step(phase), plain.trained(phase))
    last = Case(args, weights, channels_last=True, compile=args.way == "compiled")
    steps = {"fp32": plain.step(phase)} if args.way == "plain" else {}
    steps["fp32, channels last"] = last.step(phase)
    if device.type == "cuda":
        steps["bf16, channels last"] = last.step(phase, autocast=True)
    if args.way == "graph":
        steps = {way: common.captured(step) for way, step in steps.items()}
    seconds = common.medians(steps, device=device, repeats=args.repeats, max_seconds=args.max_seconds)
    named = {way: way if args.way == "plain" else f"{way}, {args.way}" for way in steps}
    return [{"phase": phase, "way": named[way], "median_s_per_step": round(seconds[way], 4), **least} for way in steps]


def memory(phase: str, args: argparse.Namespace, weights: Path | None) -> float | None:
    """Most GiB that a step in fp32 takes beyond parameters and optimiser, the step's gradients included."""
    case = Case(args, weights)
    step = case.step(phase)
    step()  # the optimiser's state is made in the first one
    case.optimiser.zero_grad()
    found = common.peak_memory(step, torch.device(args.device))
    return None if found is None else round(found / 2**30, 2)


def main() -> None:
    """Measures both phases and writes the JSON."""
    parser = argparse.ArgumentParser(description="Time a whole training step of GLASS.")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--way", choices=common.WAYS, default="plain", help="how a step is taken; graph: on a GPU")
    parser.add_argument("--perceptual", choices=("vgg19", "random"), default="vgg19", help="random: a narrow network")
    parser.add_argument("--teacher-forced", type=int, default=1, help="T_f; 1 is the slowest")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-seconds", type=float, default=120.0, help="no more repeats of what took that long")
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    device = torch.device(args.device)
    with full_vgg() if args.perceptual == "vgg19" else nullcontext() as weights:
        # Before freed memory is kept, which would hide what a step takes.
        peaks = {phase: memory(phase, args, weights) if args.way == "plain" else None for phase in PHASES}
        if device.type == "cpu":
            keep_freed_memory()  # as `vdsm-glass fit` does
        rows = [
            row | {"peak_memory_gib": peaks[phase] if row["way"] == "fp32" else None}
            for phase in PHASES
            for row in measure(phase, args, weights)
        ]
    common.show(rows, title="One training step of GLASS")
    settings = {name: value for name, value in vars(args).items() if name not in ("out", "device")}
    path = args.out or common.RESULTS / f"glass-{device.type}.json"
    common.write_results(path, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()

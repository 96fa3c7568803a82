"""A whole training step of VDSM, both stages, against a loop over sequences.

    python -m benchmarks.vdsm [--batch 20 --frames 8 --experts 40 --width 1.0 --repeats 5]

Sprites' sizes by default (Tables 1 and 2). A step is ELBO, backward pass and Adam. `loop` is the same model and
step, with the decoder that one would write with PyTorch's own layers (`benchmarks/loop.py`). On a CPU both are timed in
turns under each setting of the C library's allocator, in a process of its own: `default` is as PyTorch ships, `kept` is
what `vdsm-glass fit` sets (`vdsm_glass/processor.py`). On a GPU fp32 and bf16 are timed, `--way compiled` or `graph`
too, on an H200 beside the floor that its memory allows: 6 GB (pretraining, with Adam) and 2 GB (sequence) a step.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyro
import torch

from benchmarks import common
from benchmarks.loop import LoopedDecoder
from vdsm_glass.processor import keep_freed_memory
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

STAGES = ("pretrain", "sequence")
OURS, LOOP = "fp32", "loop"
DEFAULT, KEPT = "default", "kept"
FLOOR_MS = {"pretrain": 1.4, "sequence": 0.4}


def sizes_of(args: argparse.Namespace) -> Sizes:
    """Table 2's, with all hidden widths times `--width`."""
    paper = Sizes(kappa_s=args.experts)

    def scale(widths: Sequence[int]) -> tuple[int, ...]:
        return tuple(max(4, round(args.width * width)) for width in widths)

    return Sizes(
        kappa_s=args.experts,
        rnn_dim=scale([paper.rnn_dim])[0],
        combiner_dim=scale([paper.combiner_dim])[0],
        encoder_channels=scale(paper.encoder_channels),
        decoder_channels=scale(paper.decoder_channels),
    )


class Case:
    """One stage's network, its optimiser and a batch.  Args: looped, whether its decoder is the loop."""

    def __init__(self, stage: str, args: argparse.Namespace, *, looped: bool = False) -> None:
        torch.manual_seed(0)
        device = torch.device(args.device)
        self.net = FrameVDSM(sizes_of(args)) if stage == "pretrain" else SequenceVDSM(sizes_of(args))
        if looped:
            frames = self.net if isinstance(self.net, FrameVDSM) else self.net.frames
            frames.decoder = LoopedDecoder(frames.decoder)  # pyright: ignore[reportAttributeAccessIssue]
        self.net.to(device).train()
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=1e-4, fused=True, capturable=args.way == "graph")
        self.video = torch.rand(args.batch, args.frames, 3, 64, 64, device=device)

    def step(self, *, autocast: bool = False) -> Callable[[], None]:
        def run() -> None:
            enabled = torch.autocast(device_type=self.video.device.type, dtype=torch.bfloat16, enabled=autocast)
            with enabled, pyro.validation_enabled(False):
                loss = ElboWeights().total(evaluate(self.net.model, self.net.guide, self.video).terms)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

        return run


def measure(allocator: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each stage and way to take a step, under this setting of the allocator."""
    if allocator == KEPT:
        keep_freed_memory()
    device = torch.device(args.device)
    rows: list[dict[str, Any]] = []
    for stage in STAGES:
        # Kept memory would hide what a step takes.
        peak = memory(stage, args) if allocator == DEFAULT else None
        case = Case(stage, args)
        steps = {OURS: case.step()}
        if device.type == "cuda":
            steps["bf16"] = case.step(autocast=True)
        if args.loop:
            steps[LOOP] = Case(stage, args, looped=True).step()
        least = common.work(steps[OURS], case.net)
        if args.way == "compiled":
            case.net.frames.encoder.compile()
            case.net.frames.decoder.compile()
        if args.way == "graph":
            steps = {way: common.captured(step) for way, step in steps.items()}
        seconds = common.medians(steps, device=device, repeats=args.repeats, warmup=2, max_seconds=args.loop_seconds)
        rows += [
            {
                "stage": stage,
                "allocator": allocator,
                "way": way if args.way == "plain" else f"{way}, {args.way}",
                "median_s_per_step": round(seconds[way], 4),
                "times_faster_than_loop": round(seconds[LOOP] / seconds[way], 2) if LOOP in seconds else None,
                "times_the_floor": times_the_floor(seconds[way], stage, device),
                "peak_memory_gib": peak if way == OURS else None,
                **least,
            }
            for way in steps
        ]
    return rows


def times_the_floor(seconds: float, stage: str, device: torch.device) -> float | None:
    """How far from what an H200's memory allows; None on anything else."""
    if device.type != "cuda" or "H200" not in torch.cuda.get_device_name(device):
        return None
    return round(1e3 * seconds / FLOOR_MS[stage], 1)


def memory(stage: str, args: argparse.Namespace) -> float | None:
    """Most GiB that a step in fp32 takes beyond parameters and optimiser, the step's gradients included."""
    case = Case(stage, args)
    step = case.step()
    step()  # the optimiser's state is made in the first one
    case.optimiser.zero_grad()
    found = common.peak_memory(step, torch.device(args.device))
    return None if found is None else round(found / 2**30, 2)


def main() -> None:
    """Measures both stages and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--experts", type=int, default=40)
    parser.add_argument("--width", type=float, default=1.0, help="times the hidden widths of Table 2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--way", choices=common.WAYS, default="plain", help="how a step is taken; graph: on a GPU")
    parser.add_argument("--loop-seconds", type=float, default=100.0, help="no more repeats of what took that long")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="leave the slow baseline out")
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    device = torch.device(args.device)
    rows: list[dict[str, Any]] = []
    for allocator in (DEFAULT, KEPT) if device.type == "cpu" else (DEFAULT,):
        # The setting is for a whole process, and cannot be taken back.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            rows += alone.submit(measure, allocator, args).result()
    common.show(rows, title="One training step of VDSM")
    settings = {name: value for name, value in vars(args).items() if name not in ("out", "device")}
    path = args.out or common.RESULTS / f"vdsm-{device.type}.json"
    common.write_results(path, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()

"""A whole training step of VDSM, both stages, against the loop over sequences.

    python -m benchmarks.vdsm [--batch 20 --frames 8 --experts 40 --width 1.0 --repeats 5]

Sprites' sizes by default (Tables 1 and 2). A step is ELBO, backward pass and Adam. The loop is the same mathematics,
every sequence on its own, `tests/reference/vdsm.py`, and the same Adam. On a GPU fp32 and bf16 are timed, on
an H200 beside the floor that its memory allows: 6 GB (pretraining, with Adam) and 2 GB (sequence) a step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyro
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import common
from tests.reference.vdsm import frame_terms, sequence_terms
from vdsm_glass.allocator import keep_freed_memory
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

STAGES = ("pretrain", "sequence")
LOOP = "loop"
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
    """One stage's network, its optimiser and a batch."""

    def __init__(self, stage: str, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        device = torch.device(args.device)
        network = FrameVDSM if stage == "pretrain" else SequenceVDSM
        self.net = network(sizes_of(args)).to(device).train()
        trained = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=1e-4, fused=True)
        self.video = torch.rand(args.batch, args.frames, 3, 64, 64, device=device)

    def batched(self) -> dict[str, Tensor]:
        """The terms as they are trained on."""
        with pyro.validation_enabled(False):
            return evaluate(self.net.model, self.net.guide, self.video).terms

    def looped(self) -> dict[str, Tensor]:
        """The terms, one sequence after the other, at samples drawn beforehand."""
        b, t = self.video.shape[:2]
        sizes = self.net.sizes
        s, z = torch.randn(b, sizes.kappa_s), torch.randn(b, t, sizes.kappa_z)
        if isinstance(self.net, FrameVDSM):
            return frame_terms(self.net, self.video, s=s, z=z)
        return sequence_terms(self.net, self.video, s=s, d=torch.randn(b, sizes.kappa_d), z=z)

    def step(self, terms: Callable[[], dict[str, Tensor]], *, autocast: bool = False) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast(device_type=self.video.device.type, dtype=torch.bfloat16, enabled=autocast):
                loss = ElboWeights().total(terms())
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

        return run


def measure(stage: str, args: argparse.Namespace, *, peak: float | None) -> list[dict[str, Any]]:
    """A row for each way to take a step.  Args: peak, GiB, of the one in fp32."""
    device = torch.device(args.device)
    case = Case(stage, args)
    steps = {"fp32": case.step(case.batched)}
    if device.type == "cuda":
        steps["bf16"] = case.step(case.batched, autocast=True)
    elif args.loop:
        steps[LOOP] = case.step(case.looped)
    seconds = common.medians(steps, device=device, repeats=args.repeats, max_seconds=args.loop_seconds)
    return [
        {
            "stage": stage,
            "way": way,
            "median_s_per_step": round(seconds[way], 4),
            "times_faster_than_loop": round(seconds[LOOP] / seconds[way], 2) if LOOP in seconds else None,
            "times_the_floor": times_the_floor(seconds[way], stage, device),
            "peak_memory_gib": peak if way == "fp32" else None,
        }
        for way in steps
    ]


def times_the_floor(seconds: float, stage: str, device: torch.device) -> float | None:
    """How far from what an H200's memory allows; None on anything else."""
    if device.type != "cuda" or "H200" not in torch.cuda.get_device_name(device):
        return None
    return round(1e3 * seconds / FLOOR_MS[stage], 1)


def memory(stage: str, args: argparse.Namespace) -> float | None:
    """Most GiB that a step in fp32 takes beyond parameters and optimiser, the step's gradients included."""
    device = torch.device(args.device)
    case = Case(stage, args)
    step = case.step(case.batched)
    step()  # the optimiser's state is made in the first one
    case.optimiser.zero_grad()
    found = common.peak_memory(step, device)
    return None if found is None else round(found / 2**30, 2)


def show(rows: list[dict[str, Any]]) -> None:
    """The rows as a table."""
    table = Table(*rows[0], title="One training step of VDSM")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console().print(table)


def main() -> None:
    """Measures both stages and writes the JSON."""
    parser = argparse.ArgumentParser(description="Time a whole training step of VDSM.")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--experts", type=int, default=40)
    parser.add_argument("--width", type=float, default=1.0, help="times the hidden widths of Table 2")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loop-seconds", type=float, default=100.0, help="no more repeats of what took that long")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="leave the slow baseline out")
    parser.add_argument("--device", default=str(common.default_device()))
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    # Before freed memory is kept, which would hide what a step takes.
    peaks = {stage: memory(stage, args) for stage in STAGES}
    if torch.device(args.device).type == "cpu":
        keep_freed_memory()  # as `vdsm-glass fit` does; the loop profits alike
    rows = [row for stage in STAGES for row in measure(stage, args, peak=peaks[stage])]
    show(rows)
    device = torch.device(args.device)
    settings = {name: value for name, value in vars(args).items() if name not in ("out", "device")}
    path = args.out or common.RESULTS / f"vdsm-{device.type}.json"
    common.write_results(path, device=device, settings=settings, results=rows)


if __name__ == "__main__":
    main()

"""Two processes that each score a part give the scores of one that scores all."""

from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing
from torchmetrics import Metric

from vdsm_glass.metrics.controllability import DeltaMSE
from vdsm_glass.metrics.registry import METRICS

SCORED = ("mse", "ssim", "fid", "fvd")


def scores(first: int, last: int) -> dict[str, torch.Tensor]:
    """Of clips numbered from `first` up to `last`, in batches of two, and of movements."""
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(8, 10, 3, 32, 32, generator=generator)
    generated = (reference + 0.1 * torch.randn(reference.shape, generator=generator)).clamp(0, 1)
    metrics: dict[str, Metric] = {name: METRICS[name].make(stand_in=True) for name in SCORED}
    for start in range(first, last, 2):
        part = slice(start, min(start + 2, last))
        for name, metric in metrics.items():
            if METRICS[name].kind == "pair":
                metric.update(generated[part], reference[part])
            else:
                metric.update(reference[part], real=True)
                metric.update(generated[part], real=False)
    movement = torch.randn(8, 20, 2, generator=generator)
    action = (movement[..., 0] > 0.3).long()
    metrics["delta_mse"] = DeltaMSE(actions=2)
    metrics["delta_mse"].update(movement[first:last], action[first:last])
    results = {name: metric.compute() for name, metric in metrics.items()}
    return {name: value["mean"] if isinstance(value, dict) else value for name, value in results.items()}


def part(rank: int, folder: str) -> None:
    """The first process has five clips, the second three."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(scores(*((0, 5), (5, 8))[rank]), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_score_what_one_does(tmp_path: Path):
    multiprocessing.spawn(part, args=(str(tmp_path),), nprocs=2)
    whole = scores(0, 8)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in whole.items():
            assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name

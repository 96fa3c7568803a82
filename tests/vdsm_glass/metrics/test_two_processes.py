"""Two processes that each score a part give the scores of one that scores all."""

from pathlib import Path

import pytest
import torch
from torch import distributed
from torchmetrics import Metric

from data_modules.common.errors import UserError
from tests.processes import exit_codes
from vdsm_glass.metrics.motion import DeltaMSE
from vdsm_glass.metrics.registry import METRICS, MetricKind
from vdsm_glass.metrics.results import Protocol
from vdsm_glass.metrics.similarity import MSE
from vdsm_glass.metrics.suite import Suite

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


def suite_without_weights(rank: int) -> list[str]:
    """What remains of a suite of which the second process lacks a file, and what both are told of the rest."""

    def make(_: Path | None) -> Metric:
        if rank == 1:
            raise UserError("no such file")
        return MSE()

    METRICS["local"] = MetricKind(name="local", kind="pair", published=make)
    suite = Suite(["local", "mse"], paired=True, frames=2)
    suite.update(torch.zeros(1, 2, 3, 8, 8), torch.full((1, 2, 3, 8, 8), rank / 2))
    results, gaps = suite.compute(Protocol(split="test", clips=2, frames=2, height=8, width=8))
    return [f"{each.name} {each.value}" for each in results] + [f"{gap.name} {gap.reason}" for gap in gaps]


def part(rank: int, folder: Path) -> None:
    """The first process has five clips, the second three."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(scores(*((0, 5), (5, 8))[rank]), folder / f"{rank}.pt")
    (folder / f"{rank}.txt").write_text("\n".join(suite_without_weights(rank)), "utf-8")
    distributed.destroy_process_group()


def test_two_processes_score_what_one_does_and_give_up_what_one_must(tmp_path: Path):
    assert exit_codes(part, (0, tmp_path), (1, tmp_path)) == [0, 0]
    whole = scores(0, 8)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in whole.items():
            assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name
    assert (tmp_path / "0.txt").read_text("utf-8") == "mse 0.125\nlocal process 1: no such file"
    assert (tmp_path / "1.txt").read_text("utf-8") == "mse 0.125\nlocal no such file"

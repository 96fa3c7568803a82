"""The codebook of two processes is one codebook."""

from pathlib import Path

import torch
from torch import distributed

from tests.processes import exit_codes
from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.layers.quantizer import VectorQuantizer


def train(rank: int, folder: Path) -> None:
    """Three steps on pairs of its own; the last prototype is dead from the second on."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.manual_seed(rank)
    u = torch.randn(6, 4) + 10 * rank
    quantizer = VectorQuantizer(small_sizes(actions=8, revive_after=2))
    quantizer(u)
    placed = quantizer.codes.detach().clone()
    with torch.no_grad():
        quantizer.codes[-1] = 1000
    for _ in range(2):
        quantizer(u)
    results = {"u": u, "placed": placed, "revived": quantizer.codes.detach(), "counts": quantizer.take_counts()}
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_share_one_codebook(tmp_path: Path):
    assert exit_codes(train, (0, tmp_path), (1, tmp_path)) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    everybody = torch.cat([first["u"], second["u"]])
    for name in ("placed", "revived"):
        assert torch.equal(first[name], second[name])
        assert torch.cdist(first[name], everybody).amin(dim=1).max() == 0
    assert len(first["placed"].unique(dim=0)) == 8
    # With 8 prototypes for 6 pairs a process, each must have taken some of the other's.
    assert (torch.cdist(first["placed"], first["u"]).amin(dim=1) > 1).any()
    assert first["counts"].sum() == second["counts"].sum() == 18
    assert not torch.equal(first["counts"], second["counts"])

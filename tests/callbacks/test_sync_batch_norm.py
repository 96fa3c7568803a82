"""Two processes compute what one does of all their clips: batch norm, and losses that are no means over clips."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from callbacks.sync_batch_norm import SyncBatchNorm
from tests.processes import exit_codes
from vdsm_glass.glass.difference import Differing
from vdsm_glass.glass.losses import decorrelation_loss, difference_terms

B, T = 4, 3


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5, affine=False))
    return nn.Sequential(*layers).double()


def losses(made: nn.Module, clips: slice) -> Tensor:
    """Of some of four clips, two of which have no agent."""
    generator = torch.Generator().manual_seed(1)
    x, mask, shift = (
        torch.rand(*shape, generator=generator, dtype=torch.float64)[clips]
        for shape in ((B, T, 3, 6, 6), (B, T, 1, 6, 6), (B, T - 1, 2))
    )
    known = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=torch.float64)[clips]
    u = made(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    terms = difference_terms(
        u[..., :1, None, None].sigmoid().expand_as(mask), u[:, 1:, 1:3], Differing(mask=mask, shift=shift, known=known)
    )
    return decorrelation_loss(u) + terms["difference_mask"] + terms["difference_shift"] + u.cos().mean()


def state(made: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Of one step: the loss, all gradients and all buffers."""
    loss.backward()
    gradients = {name: value.grad for name, value in made.named_parameters() if value.grad is not None}
    return {"loss": loss.detach()} | gradients | {f"running {name}": each for name, each in made.named_buffers()}


def train(rank: int, folder: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    made = SyncBatchNorm().apply(model())
    found = state(made, losses(made, slice(2 * rank, 2 * rank + 2)))
    for name, value in found.items():
        if not name.startswith("running"):
            distributed.all_reduce(value.div_(2))
    if rank == 0:
        torch.save(found, folder / "found.pt")
    distributed.destroy_process_group()


def test_two_processes_have_the_loss_gradients_and_statistics_of_one(tmp_path: Path):
    assert exit_codes(train, (0, tmp_path), (1, tmp_path)) == [0, 0]
    alone = model()
    expected = state(alone, losses(alone, slice(None)))
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # `decorrelation_loss` computes in float32.
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_one_process_is_left_as_it_is():
    x = torch.randn(6, 3, 6, 6, dtype=torch.float64)
    plain, synced = model(), SyncBatchNorm().apply(model())
    torch.testing.assert_close(synced(x), plain(x), rtol=0, atol=0)
    assert not any("forward" in vars(layer) for layer in SyncBatchNorm().revert(synced).modules())

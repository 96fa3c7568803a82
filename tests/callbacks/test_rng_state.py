from types import SimpleNamespace

import torch

from callbacks import RNGState


def first_noise(rank: int) -> torch.Tensor:
    torch.manual_seed(3)
    RNGState().on_train_start(
        SimpleNamespace(global_rank=rank, strategy=SimpleNamespace(root_device=torch.device("cpu"))), None
    )
    return torch.randn(4)


def test_processes_draw_different_noise_and_one_process_that_of_its_seed():
    torch.manual_seed(3)
    seeded = torch.randn(4)
    assert torch.equal(first_noise(rank=0), seeded)
    assert not torch.equal(first_noise(rank=1), seeded)
    assert torch.equal(first_noise(rank=1), first_noise(rank=1))

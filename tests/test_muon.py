"""Muon: weights of layers move alike in all directions, everything else as Adam moves it."""

import copy
import math

import pytest
import torch
from torch import nn

from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d
from vdsm_glass.muon import LIKE_ADAM, Muon, as_matrix, orthogonal


class Small(nn.Module):
    """One of each layer, and a parameter that belongs to none."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(in_features=6, out_features=4)
        self.conv = nn.Conv2d(in_channels=3, out_channels=5, kernel_size=3)
        self.mixture = MixtureConvTranspose2d(experts=3, in_channels=4, out_channels=2, stride=2, padding=1)
        self.norm = nn.LayerNorm(normalized_shape=4)
        self.free = nn.Parameter(torch.randn(2, 3))

    def fill(self, seed: int, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


LAYER_WEIGHTS = ("linear.weight", "conv.weight", "mixture.weight")


@pytest.mark.parametrize("shape", [(4, 6), (7, 3), (5, 5), (3, 32, 4)])
def test_orthogonal_has_singular_values_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    matrix = 1e-4 * torch.randn(shape)
    found = torch.linalg.svdvals(orthogonal(matrix))
    assert found.min() > 0.6
    assert found.max() < 1.25
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    angle = nn.functional.cosine_similarity(orthogonal(matrix).flatten(), (u @ vh).flatten(), dim=0)
    assert angle > 0.97


def test_every_expert_is_a_matrix_of_its_own() -> None:
    weight = torch.randn(3, 4, 4, 2, 5)
    assert as_matrix(weight).shape == (3, 32, 5)
    assert as_matrix(torch.randn(5, 3, 2, 4)).shape == (5, 24)
    once = orthogonal(as_matrix(weight))
    weight[1] *= 100
    assert torch.allclose(orthogonal(as_matrix(weight)), once, atol=1e-5)


def test_the_first_change_of_a_weight_is_its_gradients_orthogonal_part() -> None:
    net = Small()
    before = copy.deepcopy(net.state_dict())
    net.fill(2)
    Muon(net, lr=0.01).step()
    for name in LAYER_WEIGHTS:
        weight = net.get_parameter(name)
        assert weight.grad is not None
        matrix = as_matrix(weight.grad)
        wanted = -0.01 * LIKE_ADAM * math.sqrt(max(matrix.shape[-2:])) * orthogonal(matrix)
        assert torch.allclose(as_matrix(weight.detach() - before[name]), wanted, atol=1e-6)
        assert wanted.square().mean().sqrt() == pytest.approx(0.01 * LIKE_ADAM, rel=0.2)


def test_momentum_is_nesterovs() -> None:
    net = Small()
    optimiser = Muon(net, lr=0.01, beta=0.9)
    gradients = []
    for seed in (2, 3):
        net.fill(seed)
        assert net.conv.weight.grad is not None
        gradients.append(net.conv.weight.grad.clone())
        before = net.conv.weight.detach().clone()
        optimiser.step()
    mean = 0.1 * (0.9 * gradients[0] + gradients[1])
    wanted = orthogonal(as_matrix(0.9 * mean + 0.1 * gradients[1]))
    moved = as_matrix(before - net.conv.weight.detach())
    assert torch.allclose(moved, 0.01 * LIKE_ADAM * math.sqrt(27) * wanted, atol=1e-6)


def test_all_else_moves_as_adam_moves_it() -> None:
    ours, theirs = Small(), Small()
    muon, adam = Muon(ours, lr=0.01), torch.optim.Adam(theirs.parameters(), lr=0.01)
    for seed in (2, 3, 4):
        for net, optimiser in ((ours, muon), (theirs, adam)):
            net.fill(seed)
            optimiser.step()
    for name, parameter in ours.named_parameters():
        same = torch.equal(parameter, theirs.get_parameter(name))
        assert same == (name not in LAYER_WEIGHTS), name


def test_goes_on_from_its_state() -> None:
    net = Small()
    optimiser = Muon(net, lr=0.01)
    net.fill(2)
    optimiser.step()
    other = Small()
    other.load_state_dict(net.state_dict())
    second = Muon(other, lr=0.5)
    second.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for each, with_it in ((net, optimiser), (other, second)):
        each.fill(3)
        with_it.step()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name


def test_what_takes_no_gradient_stays() -> None:
    net = Small()
    net.linear.requires_grad_(False)
    net.conv.weight.grad = None
    before = copy.deepcopy(net.state_dict())
    net.fill(2)
    net.conv.weight.grad = None
    Muon(net, lr=0.01).step()
    assert torch.equal(net.linear.weight, before["linear.weight"])
    assert torch.equal(net.conv.weight, before["conv.weight"])
    assert not torch.equal(net.mixture.weight, before["mixture.weight"])


def test_the_closure_is_called_with_gradients() -> None:
    net = Small()

    def closure() -> torch.Tensor:
        loss = net.linear(torch.ones(2, 6)).square().sum()
        loss.backward()
        return loss

    assert Muon(net, lr=0.01).step(closure) > 0
    assert net.linear.weight.grad is not None

import math

import pytest
import torch
from torch import Tensor, nn

from tests.reference.mixture_decoder import mixture_conv_transpose2d
from vdsm_glass.layers.mixture_conv import Method, MixtureConvTranspose2d

METHODS: list[Method] = ["auto", "grouped", "matmul"]
GEOMETRIES = [(1, 0, 1), (2, 1, 4), (2, 1, 1), (1, 0, 3), (1, 1, 3), (2, 0, 2)]  # stride, padding, side of the input


def make(*, method: Method, stride: int, padding: int, side: int, dtype: torch.dtype = torch.float64):
    torch.manual_seed(0)
    layer = MixtureConvTranspose2d(
        experts=3, in_channels=4, out_channels=5, stride=stride, padding=padding, method=method
    ).to(dtype)
    x = torch.randn(2, 3, 4, side, side, dtype=dtype, requires_grad=True)
    mixture = torch.randn(2, 3, dtype=dtype).softmax(dim=-1).requires_grad_()
    return layer, x, mixture


def gradients(y: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Against a cotangent that is different everywhere, so that no misplaced element can hide in a sum."""
    torch.manual_seed(1)
    return torch.autograd.grad(y, inputs, torch.randn(y.shape, dtype=y.dtype))


@pytest.mark.parametrize(("stride", "padding", "side"), GEOMETRIES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_equals_the_loop_over_sequences(method, stride, padding, side, dtype, tolerance):
    layer, x, mixture = make(method=method, stride=stride, padding=padding, side=side, dtype=dtype)
    y = layer(x, mixture)
    expected = mixture_conv_transpose2d(x, mixture, layer.weight, layer.bias, stride=stride, padding=padding)
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    inputs = [x, mixture, layer.weight, layer.bias]
    for ours, theirs in zip(gradients(y, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_blended_once_without_gradient_still_sends_gradient_to_the_input(method):
    layer, x, mixture = make(method=method, stride=2, padding=1, side=4)
    with torch.no_grad():
        blended = layer.blend(mixture)
    assert not blended.weight.requires_grad
    (ours,) = gradients(layer(x, blended), [x])
    (theirs,) = gradients(layer(x, mixture), [x])
    torch.testing.assert_close(ours, theirs)


def test_a_one_hot_mixture_is_that_expert_alone():
    layer, x, _ = make(method="auto", stride=2, padding=1, side=4)
    expert = nn.ConvTranspose2d(4, 5, kernel_size=4, stride=2, padding=1).double()
    expert.load_state_dict({"weight": layer.weight[1], "bias": layer.bias[1]})
    y = layer(x, torch.eye(3, dtype=torch.float64)[[1, 1]])
    torch.testing.assert_close(y, expert(x.flatten(0, 1)).unflatten(0, (2, 3)))


def test_experts_start_like_convolutions_of_torch():
    torch.manual_seed(0)
    experts = MixtureConvTranspose2d(experts=8, in_channels=32, out_channels=16, stride=2, padding=1)
    torch_layer = nn.ConvTranspose2d(32, 16, kernel_size=4)
    bound = 1 / math.sqrt(16 * 4 * 4)
    for values in [*experts.parameters(), *torch_layer.parameters()]:
        assert values.abs().max() <= bound
    assert experts.weight.std().item() == pytest.approx(torch_layer.weight.std().item(), rel=0.05)
    assert not torch.equal(experts.weight[0], experts.weight[1])

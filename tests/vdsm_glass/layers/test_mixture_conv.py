import math

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from tests.reference.mixture_decoder import mixture_conv_transpose2d
from vdsm_glass.layers.mixture_conv import (
    MatmulConvTranspose2d,
    Method,
    MixtureConvTranspose2d,
    extract_patches,
    overlap_add,
)

METHODS: list[Method] = ["auto", "grouped", "matmul", "subpixel"]
GEOMETRIES = [(1, 0, 1), (2, 1, 4), (2, 1, 1), (1, 0, 3), (1, 1, 3), (2, 0, 2)]  # stride, padding, side of the input


def make(*, method: Method, stride: int, padding: int, side: int, dtype: torch.dtype = torch.float64):
    torch.manual_seed(0)
    layer = MixtureConvTranspose2d(
        experts=3, in_channels=4, out_channels=5, stride=stride, padding=padding, method=method
    ).to(dtype)
    x = torch.randn(2, 3, 4, side, side, dtype=dtype, requires_grad=True)
    mixture = torch.randn(2, 3, dtype=dtype).softmax(dim=-1).requires_grad_()
    return layer, x, mixture


def as_torch_lays_it_out(weight: Tensor) -> Tensor:
    """(k, kh, kw, out, in) → (k, in, out, kh, kw)."""
    return rearrange(weight, "k kh kw o i -> k i o kh kw")


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
    expected = mixture_conv_transpose2d(
        x, mixture, as_torch_lays_it_out(layer.weight), layer.bias, stride=stride, padding=padding
    )
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
    expert.load_state_dict({"weight": as_torch_lays_it_out(layer.weight)[1], "bias": layer.bias[1]})
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


@pytest.mark.parametrize("method", METHODS)
def test_autocast_changes_the_precision_and_not_the_function(method):
    layer, x, mixture = make(method=method, stride=2, padding=1, side=4, dtype=torch.float32)
    inputs = [x, mixture, layer.weight, layer.bias]
    exact = layer(x, mixture)
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
        rounded = layer(x, mixture)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.05, atol=0.05)
    torch.manual_seed(1)
    cotangent = torch.randn_like(exact)
    found = torch.autograd.grad(rounded, inputs, cotangent.bfloat16())
    expected = torch.autograd.grad(exact, inputs, cotangent)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        assert torch.linalg.vector_norm(ours - theirs) < 0.02 * torch.linalg.vector_norm(theirs)


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
def test_one_graph_holds_the_layer(method):
    """`torch.compile` finds no break in it, and what it traced gives the same numbers."""
    layer, x, mixture = make(method=method, stride=2, padding=1, side=4)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    inputs = [x, mixture, layer.weight, layer.bias]
    y, expected = compiled(x, mixture), layer(x, mixture)
    torch.testing.assert_close(y, expected)
    for ours, theirs in zip(gradients(y, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_activation_in_place_keeps_gradients_and_the_layout_that_the_next_layer_reads():
    layer, x, mixture = make(method="auto", stride=2, padding=1, side=4)
    y = torch.nn.functional.leaky_relu(layer(x, mixture), negative_slope=0.2)
    in_place = torch.nn.functional.leaky_relu(layer(x, mixture), negative_slope=0.2, inplace=True)
    torch.testing.assert_close(in_place, y)
    torch.testing.assert_close(gradients(in_place, [x]), gradients(y, [x]))
    assert rearrange(in_place, "b t c h w -> b t h w c").is_contiguous()


@pytest.mark.parametrize(("change", "message"), [({"stride": 3}, "multiple"), ({"method": "loop"}, "matmul")])
def test_what_cannot_be_computed_is_refused(change, message):
    arguments = {"experts": 2, "in_channels": 3, "out_channels": 4, "stride": 2, "padding": 1} | change
    with pytest.raises(ValueError, match=message):
        MixtureConvTranspose2d(**arguments)


@pytest.mark.parametrize(("kernel_size", "stride"), [(4, 2), (4, 1), (2, 2), (6, 2), (3, 1)])
def test_adding_patches_is_the_adjoint_of_extracting_them(kernel_size, stride):
    """<overlap_add(p), y> = <p, extract_patches(y)> for every p and y."""
    torch.manual_seed(0)
    patches = torch.randn(2, 3, 4, kernel_size, kernel_size, 5, dtype=torch.float64)
    image = overlap_add(patches, stride=stride)
    other = torch.randn_like(image)
    left = (image * other).sum()
    right = (patches * extract_patches(other, kernel_size=kernel_size, stride=stride)).sum()
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_first_and_second_derivatives_of_the_matrix_products_equal_finite_differences(check):
    torch.manual_seed(0)
    shapes = [(2, 1, 2, 2, 2), (2, 4, 4, 2, 2), (2, 2)]  # x, weight, bias
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert check(lambda *tensors: MatmulConvTranspose2d.apply(*tensors, 2, 1), inputs)

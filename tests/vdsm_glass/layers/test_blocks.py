import pytest
import torch
import torch.nn.functional as F

from tests.reference.glass_networks import modulated_conv
from vdsm_glass.layers.blocks import ModulatedConv, PooledConv, Residual, Same, Up


@pytest.mark.parametrize("down", [1, 2, 3, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_pooled_convolution_is_convolution_then_average_pooling(down, bias):
    torch.manual_seed(0)
    conv = PooledConv(3, 5, down=down, bias=bias)
    x = torch.randn(2, 3, 12, 24, requires_grad=True)
    expected = F.avg_pool2d(F.conv2d(x, conv.weight, bias=conv.bias, padding=1), kernel_size=down)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)
    cotangent = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(conv(x), [x, conv.weight], cotangent),
        torch.autograd.grad(expected, [x, conv.weight], cotangent),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_same_normalises_what_was_pooled():
    torch.manual_seed(0)
    same = Same(3, 4, down=2)
    x = torch.randn(4, 3, 8, 8)
    y = F.avg_pool2d(F.conv2d(x, same[0].weight, padding=1), kernel_size=2)
    y = (y - y.mean(dim=(0, 2, 3), keepdim=True)) / (y.var(dim=(0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(same(x), torch.where(y > 0, y, 0.2 * y), rtol=1e-4, atol=1e-5)


def test_residual_adds_its_input_untouched_where_the_shape_stays():
    torch.manual_seed(0)
    residual = Residual(4, 4).eval()
    torch.nn.init.zeros_(residual.second[1].weight)
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(residual(x), F.leaky_relu(x, 0.2))


def test_residual_adds_its_pooled_and_projected_input_where_the_shape_changes():
    torch.manual_seed(0)
    residual = Residual(3, 5, down=2).eval()
    torch.nn.init.zeros_(residual.second[1].weight)
    x = torch.randn(2, 3, 8, 8)
    projection = residual.skip[1].weight
    expected = F.leaky_relu(F.avg_pool2d(F.conv2d(x, projection), kernel_size=2) / (1 + 1e-5) ** 0.5, 0.2)
    torch.testing.assert_close(residual(x), expected)


def test_late_upsampling_is_smoother_than_early_but_as_large():
    torch.manual_seed(0)
    early, late = Up(3, 4).eval(), Up(3, 4, late=True).eval()
    late.load_state_dict({f"{int(not int(k[0]))}{k[1:]}": v for k, v in early.state_dict().items()})
    x = torch.randn(1, 3, 5, 6)
    same = early[1]
    torch.testing.assert_close(late(x), F.interpolate(same(x), scale_factor=2, mode="bilinear"))
    torch.testing.assert_close(early(x), same(F.interpolate(x, scale_factor=2, mode="bilinear")))


def modulated(*, down: int = 1) -> tuple[ModulatedConv, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    conv = ModulatedConv(3, 5, style_size=4, down=down)
    torch.nn.init.normal_(conv.bias)
    return conv, torch.randn(6, 3, 8, 12, requires_grad=True), torch.randn(6, 4, requires_grad=True)


@pytest.mark.parametrize("down", [1, 2])
def test_a_modulated_convolution_equals_a_kernel_for_each_sample(down):
    conv, x, v = modulated(down=down)
    y = conv(x, v)
    expected = modulated_conv(x, conv.style(v), conv.conv.weight, conv.bias[:, 0, 0], down=down)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    cotangent = torch.randn_like(y)
    inputs = [x, v, conv.conv.weight, conv.style.weight]
    for ours, theirs in zip(
        torch.autograd.grad(y, inputs, cotangent), torch.autograd.grad(expected, inputs, cotangent), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)


@pytest.mark.parametrize("down", [1, 2])
def test_modulation_keeps_unit_variance_whatever_the_style(down):
    torch.manual_seed(0)
    conv = ModulatedConv(16, 8, style_size=4, down=down)
    x, v = torch.randn(200, 16, 16, 16), 10 * torch.randn(1, 4).expand(200, 4)
    s, scale = conv.scales(v)
    y = conv.conv(x * s[:, :, None, None]) * scale[:, :, None, None]
    torch.testing.assert_close(y[..., 1:-1, 1:-1].var(), torch.tensor(1.0), rtol=0.03, atol=0)


def test_a_style_of_one_is_no_modulation():
    conv, _, _ = modulated()
    s, _ = conv.scales(torch.zeros(6, 4))
    assert (s == 1).all()


def test_the_norm_of_modulation_is_float32_under_half_precision():
    conv, x, v = modulated()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under, y = conv.scales(v.bfloat16().float()), conv(x, v)
    for ours, exact in zip(under, conv.scales(v.bfloat16().float()), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact)
    torch.testing.assert_close(y.float(), conv(x, v), rtol=0.05, atol=0.05)

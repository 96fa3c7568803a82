import pytest
import torch

from tests.reference.glass_networks import modulated_conv
from vdsm_glass.layers.modulated_conv import ModulatedConv


def make(*, down: int = 1) -> tuple[ModulatedConv, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    conv = ModulatedConv(3, 5, style_size=4, down=down)
    torch.nn.init.normal_(conv.bias)
    return conv, torch.randn(6, 3, 8, 12, requires_grad=True), torch.randn(6, 4, requires_grad=True)


@pytest.mark.parametrize("down", [1, 2])
def test_equals_a_kernel_for_each_sample(down):
    conv, x, v = make(down=down)
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
def test_keeps_unit_variance_whatever_the_style(down):
    torch.manual_seed(0)
    conv = ModulatedConv(16, 8, style_size=4, down=down)
    x, v = torch.randn(200, 16, 16, 16), 10 * torch.randn(1, 4).expand(200, 4)
    s, scale = conv.scales(v)
    y = conv.conv(x * s[:, :, None, None]) * scale[:, :, None, None]
    torch.testing.assert_close(y[..., 1:-1, 1:-1].var(), torch.tensor(1.0), rtol=0.03, atol=0)


def test_a_style_of_one_is_no_modulation():
    conv, _, _ = make()
    s, _ = conv.scales(torch.zeros(6, 4))
    assert (s == 1).all()


def test_the_norm_is_float32_under_half_precision():
    conv, x, v = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under, y = conv.scales(v.bfloat16().float()), conv(x, v)
    for ours, exact in zip(under, conv.scales(v.bfloat16().float()), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact)
    torch.testing.assert_close(y.float(), conv(x, v), rtol=0.05, atol=0.05)

import pytest
import torch
import torch.nn.functional as F

from vdsm_glass.layers.blur_pool import BlurPool2d


def depthwise(x: torch.Tensor) -> torch.Tensor:
    """Zhang's layer as published: reflect padding of 1 and 2, a depthwise 4x4 binomial filter of stride 2."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps)[None, None] / 64
    channels = x.shape[1]
    padded = F.pad(x, (1, 2, 1, 2), mode="reflect")
    return F.conv2d(padded, kernel.expand(channels, 1, 4, 4), stride=2, groups=channels)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "halved"), [(63, 32), (31, 16), (15, 8), (7, 4), (8, 4)])
def test_equals_the_depthwise_convolution_and_so_does_its_gradient(size, halved, memory_format):
    x = torch.randn(2, 3, size, size, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    y, expected = BlurPool2d(size=size).double()(x), depthwise(x)
    assert y.shape[-2:] == (halved, halved)
    assert y.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(y, expected)
    upstream = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, upstream), torch.autograd.grad(expected, x, upstream))


def test_keeps_the_mean_of_a_flat_map_and_stores_nothing():
    blur = BlurPool2d(size=15)
    torch.testing.assert_close(blur(torch.full((1, 1, 15, 15), 0.7)), torch.full((1, 1, 8, 8), 0.7))
    assert not blur.state_dict()


def test_a_checkerboard_vanishes_where_bare_striding_would_keep_one_colour():
    i = torch.arange(16)
    board = ((i[:, None] + i) % 2).to(torch.float32)[None, None]
    pooled = BlurPool2d(size=16)(board)
    torch.testing.assert_close(pooled[..., 1:-1, 1:-1], torch.full((1, 1, 6, 6), 0.5))

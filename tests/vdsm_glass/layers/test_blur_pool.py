import pytest
import torch

from tests.reference.blur_pool import blur_pool_depthwise
from vdsm_glass.layers.blur_pool import BlurPool2d


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "halved"), [(63, 32), (31, 16), (15, 8), (7, 4), (8, 4)])
def test_equals_the_depthwise_convolution_and_so_does_its_gradient(size, halved, memory_format):
    x = torch.randn(2, 3, size, size, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    y, expected = BlurPool2d(size=size).double()(x), blur_pool_depthwise(x)
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

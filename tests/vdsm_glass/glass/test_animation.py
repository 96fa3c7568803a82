"""What is taken out of a video, and where an animation of its first frame begins."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import grey_dilation
from torch import Tensor

from tests.vdsm_glass.glass.small import finding, small_glass, written_out
from vdsm_glass.glass.animation import infer, start
from vdsm_glass.glass.net import GLASS


@pytest.fixture
def net() -> GLASS:
    net = small_glass(theta=0.3)
    finding(net.gma, foreground=(6, -4), background=(-2, 1))
    return net


@pytest.fixture
def video() -> Tensor:
    return torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def test_shifts_are_inferred_in_pixels(net: GLASS, video: Tensor):
    actions = infer(net, video).actions
    torch.testing.assert_close(actions.foreground_shift, torch.tensor([6.0, -4.0]).expand(2, 3, 2))
    torch.testing.assert_close(actions.background_shift, torch.tensor([-2.0, 1.0]).expand(2, 3, 2))


def test_actions_are_inferred_from_the_moved_foreground_and_the_next(net: GLASS, video: Tensor):
    expected, seen = written_out(net, video), []
    net.lma.A.register_forward_hook(lambda module, args, u: seen.append(u))
    infer(net, video)
    torch.testing.assert_close(seen, [expected], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_first_background_is_painted_a_pixel_beyond_the_mask(net: GLASS, video: Tensor):
    frames = 2 * video[:, 0] - 1
    dilated = torch.from_numpy(grey_dilation(net.gma.M(frames).numpy(), size=(1, 1, 3, 3)))
    torch.testing.assert_close(start(net, video[:, 0]).b_hat, net.gma.inpaint(frames, dilated))

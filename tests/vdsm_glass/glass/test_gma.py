"""Global motion analysis: it starts where it should, separates what its masks say, and moves what it separates."""

import pytest
import torch

from tests.vdsm_glass.glass.small import NARROW, finding
from vdsm_glass.glass.gma import GMA, HOLE
from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.shift import to_grid, to_pixels


@pytest.fixture
def gma() -> GMA:
    torch.manual_seed(0)
    return GMA(NARROW, theta=0.06)


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(2, 3, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_masks_start_at_theta_and_shifts_at_almost_zero():
    torch.manual_seed(0)
    gma = GMA(GMASizes(), theta=0.06)
    layers, motion = gma(torch.rand(2, 2, 3, 32, 48) * 2 - 1)
    assert 0.02 < float(layers.m.mean().detach()) < 0.15
    assert float(to_pixels(motion.delta_F, height=32, width=48).abs().max().detach()) < 0.2
    assert float(motion.delta_F.abs().max().detach()) > 0


def test_layers_are_what_the_masks_say(gma: GMA, video: torch.Tensor):
    gma.eval()
    with torch.no_grad():
        layers = gma.separate(video)
        torch.testing.assert_close(layers.f, video * layers.m)
        frames, m = video.flatten(0, 1), layers.m.flatten(0, 1)
        b = frames * (1 - m)
        painted = torch.tanh(gma.N.layers(b + HOLE * m))
        torch.testing.assert_close(layers.b_hat.flatten(0, 1), b * (1 - m) + painted * m)
        whole = torch.ones_like(m)
        torch.testing.assert_close(gma.inpaint(frames, 0 * whole), frames)
        only_painted = gma.inpaint(frames, whole)
        torch.testing.assert_close(only_painted, gma.inpaint(-frames, whole))


def test_what_moves_7_pixels_to_the_right_is_moved_7_pixels_to_the_right(gma: GMA, video: torch.Tensor):
    """Pins the sign: with Δ_F of (+7, 0) pixels, f_t∘Δ_F is the sprite 7 pixels further right."""
    sprite = torch.zeros(1, 2, 3, 32, 48)
    sprite[0, 0, :, 10:20, 5:15] = 1
    sprite[0, 1, :, 10:20, 12:22] = 1
    delta = to_grid(torch.tensor([[7.0, 0.0]]), height=32, width=48)
    gma.P_f.forward = lambda before, after: delta  # pyright: ignore[reportAttributeAccessIssue]
    gma.P_b.forward = lambda before, after: -delta  # pyright: ignore[reportAttributeAccessIssue]
    layers = gma.separate(sprite)
    seen = type(layers)(m=sprite[:, :, :1], f=sprite, b_hat=sprite)
    motion = gma.motion(seen, sprite)
    torch.testing.assert_close(motion.f_moved[0, 0], sprite[0, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(motion.m_moved[0, 0], sprite[0, 1, :1], atol=1e-5, rtol=0)
    assert not torch.allclose(motion.b_moved[0, 0], sprite[0, 1], atol=1e-2)


@pytest.mark.parametrize("inpainted", [False, True])
def test_the_background_predictor_sees_holes_unless_told_otherwise(gma: GMA, video: torch.Tensor, inpainted: bool):
    gma.shifts_from_inpainted = inpainted
    seen = []
    gma.P_b.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    layers, _ = gma(video)
    wanted = layers.b_hat if inpainted else video * (1 - layers.m)
    torch.testing.assert_close(seen[0][0], wanted[:, :-1].flatten(0, 1))
    torch.testing.assert_close(seen[0][1], wanted[:, 1:].flatten(0, 1))


def test_pairs_do_not_mix_clips(gma: GMA, video: torch.Tensor):
    gma.eval()
    with torch.no_grad():
        together = gma(video)[1]
        alone = [gma(video[i : i + 1])[1] for i in range(2)]
    for name in ("delta_F", "delta_B", "f_moved", "m_moved", "b_moved"):
        apart = torch.cat([getattr(motion, name) for motion in alone])
        torch.testing.assert_close(getattr(together, name), apart, atol=1e-5, rtol=1e-4)


def test_nothing_comes_in_beside_a_foreground_and_the_border_beside_a_background(gma: GMA, video: torch.Tensor):
    finding(gma.eval(), foreground=(6, -4), background=(6, -4))
    with torch.no_grad():
        layers, motion = gma(video)
    f, m = layers.f[:, :-1], layers.m[:, :-1]
    for moved, still in ((motion.f_moved, f), (motion.m_moved, m), (gma.foregrounds(video).f_moved, f)):
        same(moved[..., :28, 6:], still[..., 4:, :42])
        same(moved[..., :6], torch.zeros_like(moved[..., :6]))
        same(moved[..., 28:, :], torch.zeros_like(moved[..., 28:, :]))
    border = layers.b_hat[:, :-1, :, 4:, :1].expand(-1, -1, -1, -1, 6)
    same(motion.b_moved[..., :28, :6], border)


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal but for the rounding of positions."""
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)

"""Windows show the frame's own pixels, go along with the agent, and go back to where they were cut."""

from __future__ import annotations

import pytest
import torch

from tests.vdsm_glass.glass.small import NARROW, small_sizes
from vdsm_glass.glass.gma import GMA, Foregrounds
from vdsm_glass.glass.window import around_agents, centred, cut, middles, pasted, places

H, W, SIDE = 32, 48, 16


def agent(x: int, y: int) -> torch.Tensor:
    """The mask (1, 1, 32, 48) of an agent of 4x6 pixels whose middle is (x, y)."""
    m = torch.zeros(1, 1, H, W)
    m[..., y - 3 : y + 3, x - 2 : x + 2] = 1
    return m


def test_the_middle_of_a_mask_is_in_pixels_x_first():
    assert middles(agent(30, 12)).tolist() == [[30, 12]]
    assert torch.isfinite(middles(torch.zeros(1, 1, H, W))).all()


def test_at_whole_positions_a_window_has_the_frames_own_pixels_and_goes_back_to_them():
    frame = torch.rand(1, 3, H, W)
    at = torch.tensor([[30.0, 12.0]])
    window = cut(frame, at, side=SIDE)
    torch.testing.assert_close(window, frame[:, :, 4:20, 22:38], rtol=0, atol=1e-5)
    back = pasted(window, at, height=H, width=W)
    torch.testing.assert_close(back[:, :, 4:20, 22:38], window, rtol=0, atol=1e-5)
    assert back.sum() == pytest.approx(float(window.sum()), rel=1e-4)


def test_beyond_the_frame_there_is_nothing():
    window = cut(torch.ones(1, 1, H, W), torch.tensor([[2.0, 31.0]]), side=SIDE)
    assert window[0, 0, :9, 6:].min() == pytest.approx(1, abs=1e-4)
    assert window.sum() == pytest.approx(9 * 10, abs=1e-2)


def test_half_a_pixel_is_the_mean_of_two():
    frame = torch.rand(1, 1, H, W)
    window = cut(frame, torch.tensor([[30.5, 12.0]]), side=SIDE)
    expected = (frame[:, :, 4:20, 22:38] + frame[:, :, 4:20, 23:39]) / 2
    torch.testing.assert_close(window, expected, rtol=0, atol=1e-5)


def test_a_window_goes_along_with_the_agent():
    steps = [(5, 0), (0, -3), (-2, 2)]
    at = [(20, 14)]
    for x, y in steps:
        at.append((at[-1][0] + x, at[-1][1] + y))
    m = torch.stack([agent(x, y)[0] for x, y in at])[None]
    delta_F = torch.tensor([steps]) / torch.tensor([W / 2, H / 2])
    assert places(m[:, 0], delta_F)[0].tolist() == [pytest.approx(place) for place in at]
    f = m * torch.tensor([0.2, -0.4, 0.6])[:, None, None]
    seen = around_agents(Foregrounds(f=f, m=m, f_moved=f[:, :-1], delta_F=delta_F), side=SIDE)
    assert seen.f.shape == (1, 4, 3, SIDE, SIDE)
    for t in range(4):
        torch.testing.assert_close(seen.m[:, t], seen.m[:, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(seen.f_moved, seen.f[:, :-1])
    torch.testing.assert_close(seen.f[0, 1, :, 8, 8], torch.tensor([0.2, -0.4, 0.6]), rtol=0, atol=1e-4)


def test_centred_puts_the_agent_in_the_middle_wherever_it_is():
    m = agent(30, 12)[..., :32]
    elsewhere = agent(14, 20)[..., :32]
    torch.testing.assert_close(centred(elsewhere, elsewhere), centred(agent(9, 9)[..., :32], agent(9, 9)[..., :32]))
    assert middles(centred(m, m)).tolist() == [[16, 16]]


def test_an_agent_is_seen_the_same_whatever_is_beside_it_in_the_batch():
    m = torch.cat([agent(30, 12), agent(14, 20)])
    torch.testing.assert_close(centred(m, m)[:1], centred(m[:1], m[:1]))


def test_foregrounds_alone_are_those_of_the_whole_analysis():
    torch.manual_seed(0)
    gma = GMA(NARROW, theta=0.3).eval()
    video = torch.rand(2, 3, 3, H, W) * 2 - 1
    with torch.no_grad():
        whole = Foregrounds.of(*gma(video))
    alone = gma.foregrounds(video)
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(alone, name), value)


def test_registration_is_zero_for_a_predictor_that_is_right_and_only_it_has_a_gradient():
    torch.manual_seed(0)
    gma = GMA(NARROW, theta=0.3)
    layers, motion = gma(torch.rand(3, 2, 3, H, W) * 2 - 1)
    statistics = {name: value.clone() for name, value in gma.P_f.named_buffers()}
    gma.registration(layers, motion).backward()
    assert {name.split(".")[0] for name, part in gma.named_parameters() if part.grad is not None} == {"P_f"}
    assert all(torch.equal(value, statistics[name]) for name, value in gma.P_f.named_buffers())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"window": 40}, "window is 40, expected a multiple of 16"),
        ({"drawing": "change"}, "drawing is 'change', which needs a window"),
        ({"look": "agent"}, "look is 'agent', which needs a window"),
        ({"edges": True}, "edges is true, which needs an outline"),
    ],
)
def test_windows_that_cannot_be(wrong, named):
    with pytest.raises(ValueError, match=named):
        small_sizes(**wrong)

"""The latent action model: what an action and a frame depend on, step by step."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.vdsm_glass.latent_actions.small import small_net, small_sizes
from vdsm_glass.latent_actions.losses import LossWeights, latent_action_terms
from vdsm_glass.latent_actions.network import LatentActions, moved


@pytest.fixture
def video() -> Tensor:
    return torch.rand(2, 5, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_an_action_is_the_nearest_code_to_the_pair(video: Tensor):
    net = small_net()
    found = net.infer(video)
    for b in range(2):
        for t in range(4):
            u = net.inverse(video[b : b + 1, t], video[b : b + 1, t + 1])
            assert found[b, t] == (net.VQ.codes - u).square().sum(dim=1).argmin()
    torch.testing.assert_close(u.mean(), torch.zeros(()), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("T_f", [1, 3, 5])
def test_frames_are_drawn_from_real_ones_up_to_T_f_and_from_drawn_ones_after_it(video: Tensor, T_f: int):
    net = small_net()
    made = net(video, T_f=T_f).frames
    frames = [video[:, 0], video[:, 0]]  # before the first frame there is nothing but itself
    for t, action in enumerate(net.infer(video).T):
        if 0 < t < T_f:
            frames[-1] = video[:, t]
        frames.append(net.forwards(torch.stack(frames[-2:], dim=1), net.VQ.codes[action]))
        torch.testing.assert_close(made[:, t], frames[-1])


@torch.no_grad()
def test_playing_is_the_rollout_that_was_trained(video: Tensor):
    net = small_net(memory=3)
    scene = net.start(video[:, 0])
    for t, action in enumerate(net.infer(video).T):
        scene = net.advance(scene, action)
        torch.testing.assert_close(scene.frame, net(video, T_f=1).frames[:, t])


@torch.no_grad()
def test_the_oldest_remembered_frame_counts_and_those_before_it_do_not(video: Tensor):
    net = small_net(memory=2)
    code = net.VQ.codes[:1]
    scene = net.start(video[:1, 0])
    for frame in video[0, 1:3]:
        scene = net.drawn(scene, code)._replace(frame=frame[None])
    assert scene.memory.shape == (1, 1, 3, 32, 48)
    past = torch.stack([scene.memory[:, 0], scene.frame], dim=1)
    torch.testing.assert_close(net.drawn(scene, code).frame, net.forwards(past, code))
    assert not torch.allclose(net.forwards(past.flip(1), code), net.forwards(past, code))


def test_it_begins_with_a_copy_of_the_frame(video: Tensor):
    net = LatentActions(small_sizes()).eval()
    drawn = net.forwards(video[:, :2], torch.randn(2, 4))
    # g = σ(2) of the frame, the rest of a drawing in (-1, 1).
    kept = torch.tensor(2.0).sigmoid()
    assert bool(((drawn - kept * video[:, 1]).abs() <= 1 - kept + 1e-6).all())


def test_a_flow_takes_pixels_from_where_it_points(video: Tensor):
    flow = torch.zeros(2, 2, 32, 48)
    flow[:, 0] = 2 * 3 / 48  # three pixels to the right
    flow[:, 1] = -2 * 2 / 32  # two up
    out = moved(video[:, 0], flow)
    torch.testing.assert_close(out[..., 2:, :45], video[:, 0, :, :30, 3:], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[..., 2:, 47], video[:, 0, :, :30, 47], atol=1e-4, rtol=0)


def test_terms_are_their_formulas_pixel_by_pixel(video: Tensor):
    net = small_net().train()
    prediction = net(video, T_f=2)
    terms = latent_action_terms(video, prediction, weights=LossWeights(motion=1))
    x, y = video, torch.cat([video[:, :1], prediction.frames.detach()], dim=1)
    squares, motion = [], []
    for b in range(2):
        for t in range(1, 5):
            squares.append(((x[b, t] - y[b, t]) ** 2).sum() / (3 * 32 * 48))
            changed = (x[b, t] - x[b, t - 1]).abs().sum(0) + (y[b, t] - y[b, t - 1]).abs().sum(0)
            motion.append((changed * (x[b, t] - y[b, t]).abs()).sum() / (3 * 32 * 48))
    torch.testing.assert_close(terms["reconstruction"], torch.stack(squares).mean())
    torch.testing.assert_close(terms["motion"], torch.stack(motion).mean())
    u = net.inverse(video[:, :-1].flatten(0, 1), video[:, 1:].flatten(0, 1))
    apart = torch.cdist(u, net.VQ.codes).amin(dim=1).square().sum() / u.numel()
    torch.testing.assert_close(terms["commitment"], apart)
    torch.testing.assert_close(terms["codebook"], apart)
    total = LossWeights(motion=1).total(terms)
    wanted = terms["reconstruction"] + terms["codebook"] + 0.25 * terms["commitment"] + terms["motion"]
    torch.testing.assert_close(total, wanted)
    assert latent_action_terms(video, prediction, weights=LossWeights(codebook=0)).keys() == {
        "reconstruction",
        "commitment",
    }


def test_every_parameter_learns_and_the_inverse_model_through_the_drawing(video: Tensor):
    net = small_net().train()
    F.mse_loss(net(video, T_f=1).frames, video[:, 1:]).backward()
    missing = [name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()]
    assert missing == ["VQ.codes"]  # which the codebook term alone moves

"""CADDY: what directions, actions, variability and frames are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.vdsm_glass.caddy.small import small_net, small_sizes
from vdsm_glass.caddy.action import AVERAGING, ActionNetwork, Gaussian, between


@pytest.fixture
def video() -> Tensor:
    return torch.rand(2, 5, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_direction_is_the_difference_of_independent_states():
    generator = torch.Generator().manual_seed(0)
    states = Gaussian(*torch.randn(2, 1, 3, 2, generator=generator))
    found = between(states)
    scale = (states.log_variance / 2).exp()
    e = states.mean + scale * torch.randn(200_000, 3, 2, generator=generator)
    d = e[:, 1:] - e[:, :-1]
    # Ten standard errors of each mean and variance.
    torch.testing.assert_close(found.mean[0], d.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(found.log_variance[0].exp(), d.var(dim=0), atol=0, rtol=0.04)


@torch.no_grad()
def test_in_evaluation_the_likeliest_action_and_what_differs_from_its_centre(video: Tensor):
    net = small_net()
    found = net.A(net.encoded(video), temperature=1.0)
    for b in range(2):
        for t in range(4):
            e = [net.A.states(net.encoded(video[b : b + 1, i : i + 1])).mean[0, 0] for i in (t, t + 1)]
            d = e[1] - e[0]
            k = (net.A.classify.weight @ d + net.A.classify.bias).argmax()
            assert net.infer(video)[b, t] == k
            torch.testing.assert_close(found.a[b, t], F.one_hot(k, num_classes=3).float())
            torch.testing.assert_close(found.v[b, t], d - net.A.centroids[k], rtol=1e-4, atol=1e-4)


def test_in_training_directions_are_drawn_and_actions_are_one_hot(video: Tensor):
    net = small_net().train()
    f = net.encoded(video).detach()
    made = [net.A(f, temperature=0.5) for _ in range(2)]
    assert not torch.equal(made[0].logits, made[1].logits)
    torch.testing.assert_close(made[0].a.sum(dim=-1), torch.ones(2, 4))
    assert set(made[0].a.detach().round(decimals=5).unique().tolist()) <= {0.0, 1.0}


def test_actions_are_drawn_as_often_as_they_are_likely_at_every_temperature():
    torch.manual_seed(0)
    network = ActionNetwork(small_sizes()).train()
    with torch.no_grad():
        network.classify.weight.zero_()
        network.classify.bias.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
        network.state.weight.zero_()
        drawn = network(torch.randn(500, 5, 8, 2, 2), temperature=0.4).a
    # 2 000 draws: a share's standard error is at most 0.011; five of them.
    torch.testing.assert_close(drawn.mean(dim=(0, 1)), torch.tensor([0.5, 0.3, 0.2]), atol=0.056, rtol=0)


def test_a_lower_temperature_makes_a_steeper_gradient_of_the_action(video: Tensor):
    net = small_net().train()
    f = net.encoded(video).detach()
    sizes = []
    for temperature in (1.0, 0.1):
        torch.manual_seed(3)
        made = net.A(f, temperature=temperature, learn_centroids=False)
        (gradient,) = torch.autograd.grad((made.a * torch.tensor([1.0, 2.0, 4.0])).sum(), made.logits)
        sizes.append(gradient)
    assert not torch.allclose(*sizes)


def test_centres_follow_the_directions_of_their_action_alone():
    network = ActionNetwork(small_sizes())
    d = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]]])
    p = F.one_hot(torch.tensor([[0, 0, 2]]), num_classes=3).float()
    network.follow(d, p)
    wanted = AVERAGING * torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    torch.testing.assert_close(network.centroids, wanted)
    for _ in range(2000):
        network.follow(d, p)
    torch.testing.assert_close(network.centroids, wanted / AVERAGING, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("T_f", [1, 3, 5])
def test_frames_are_drawn_from_real_ones_up_to_T_f_and_from_drawn_ones_after_it(video: Tensor, T_f: int):
    net = small_net()
    played = net(video, T_f=T_f)
    found = net.A(net.encoded(video), temperature=1.0)
    state, frame = net.R.initial_state(2, 4, 6), video[:, 0]
    for t in range(4):
        seen = net.encoded((video[:, t] if t < T_f else frame)[:, None])
        given = torch.cat([found.a, found.v], dim=-1)[:, t : t + 1]
        scales, state = net.step(seen, given, state)
        frame = scales[-1][:, 0]
        torch.testing.assert_close(played.scales[-1][:, t], frame, rtol=1e-3, atol=1e-4)
    assert [tuple(scale.shape[-2:]) for scale in played.scales] == [(8, 12), (16, 24), (32, 48)]


@torch.no_grad()
def test_playing_is_the_rollout_without_variability(video: Tensor):
    net = small_net()
    net.A.centroids.zero_()
    found = net.A(net.encoded(video), temperature=1.0)
    net.A.forward = lambda *_, **__: found._replace(v=torch.zeros_like(found.v))  # pyright: ignore
    scene, played = net.start(video[:, 0]), net(video, T_f=1)
    for t, action in enumerate(found.a.argmax(dim=-1).T):
        scene = net.advance(scene, action)
        torch.testing.assert_close(scene.frame, played.scales[-1][:, t], rtol=1e-3, atol=1e-4)


def test_drawn_frames_change_no_running_statistics(video: Tensor):
    nets = [small_net().train() for _ in range(2)]
    torch.manual_seed(0)
    nets[0](video, T_f=1)
    f = nets[1].encoded(video)
    nets[1].A.states(f)
    for part in ("E", "A"):
        for (name, one), (_, other) in zip(*(getattr(net, part).named_buffers() for net in nets), strict=True):
            assert name == "centroids" or torch.equal(one, other), name


def test_every_parameter_learns_and_the_action_network_through_the_drawing(video: Tensor):
    net = small_net().train()
    F.l1_loss(net(video, T_f=1).scales[-1], video[:, 1:]).backward()
    missing = {name for name, each in net.named_parameters() if each.grad is None or not each.grad.any()}
    # The two coarse heads have terms of their own.
    assert missing == {f"D.heads.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}

"""The module of models of one action a frame: schedules, scores, and that they learn a few clips."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from tests.vdsm_glass.discrete.small import MODELS, MODULES
from vdsm_glass.caddy.losses import LossWeights
from vdsm_glass.discrete.module import DiscreteModule
from vdsm_glass.discrete.network import animate

KINDS = sorted(MODULES)


def module(kind: str, seed: int = 0, **changes) -> tuple[DiscreteModule, dict[str, float]]:
    """A small module, and what it logs."""
    torch.manual_seed(seed)
    made, logged = MODULES[kind](**changes), {}
    made._trainer = SimpleNamespace(global_step=0)  # pyright: ignore[reportAttributeAccessIssue]
    made._fabric = None
    made.log = lambda *args, **kwargs: None  # pyright: ignore[reportAttributeAccessIssue]
    made.log_dict = lambda values, **kwargs: logged.update(values)  # pyright: ignore[reportAttributeAccessIssue]
    return made, logged


def squares(n: int = 4, t: int = 6) -> Tensor:
    """Clips (n, t, 3, 32, 32) of a bright square that steps right or down, or turns from one to the other."""
    video = torch.full((n, t, 3, 32, 32), 0.1)
    for number in range(n):
        x, y = 2, 2
        for step in range(t):
            video[number, step, :, y : y + 8, x : x + 8] = 0.9
            right = (number + step * (number > 1)) % 2
            x, y = x + 4 * right, y + 4 * (1 - right)
    return video


@pytest.mark.parametrize("kind", KINDS)
def test_the_schedule_cuts_clips_and_says_what_is_real(kind: str):
    made, _ = module(kind)
    seen = []
    nothing = {"motion": torch.zeros(())}
    made.terms = lambda video, *, T_f: seen.append((*video.shape[:2], T_f)) or nothing  # pyright: ignore
    batch = VideoBatch.unlabelled(torch.rand(3, 5, 3, 32, 32))
    made.training_step(batch)
    made.schedule(T=4, T_f=2, clips=2)
    made.training_step(batch)
    assert seen == [(3, 5, 5), (2, 4, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_compare_with_uniform_actions(kind: str):
    made, logged = module(kind)
    made.net = MODELS[kind]().network
    made.eval()
    batch = VideoBatch.unlabelled(torch.rand(2, 6, 3, 32, 48, generator=torch.Generator().manual_seed(1)))
    torch.manual_seed(5)
    found = made.test_step(batch)
    video, logged = batch.video, dict(logged)
    assert torch.equal(found, made.net.infer(2 * video - 1))
    drawn = animate(made.net, video[:, 0], found)
    errors = [(drawn[b, 1:] - video[b, 1:]).square().mean() for b in range(2)]
    torch.testing.assert_close(logged["test/psnr"], torch.stack([-10 * each.log10() for each in errors]).mean())
    torch.manual_seed(5)
    made.terms(2 * video - 1, T_f=1)
    guessed = animate(made.net, video[:, 0], torch.randint(made.net.actions, (2, 4)))
    gains = [
        10 * ((guessed[b, 4] - video[b, 4]).square().mean() / (drawn[b, 4] - video[b, 4]).square().mean()).log10()
        for b in range(2)
    ]
    torch.testing.assert_close(logged["test/delta_psnr"], torch.stack(gains).mean(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_do_not_fit_are_named(kind: str):
    made, _ = module(kind)
    with pytest.raises(UserError, match=rf"frames of 30x32, but {made.title} takes multiples of 16"):
        made.training_step(VideoBatch.unlabelled(torch.rand(2, 3, 3, 30, 32)))


def trained(kind: str, batch: VideoBatch, *, steps: int, **changes) -> DiscreteModule:
    """A module after some steps on one batch, from its first frames alone."""
    made, _ = module(kind, **changes)
    made.schedule(T_f=1)
    optimiser = torch.optim.Adam(made.net.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        made.training_step(batch).backward()
        optimiser.step()
    return made


@pytest.mark.thorough
def test_latent_actions_learn_a_few_clips_and_tell_the_way():
    """With one seed of six: on four clips about half of them end at actions that tell too little."""
    batch = VideoBatch.unlabelled(squares())
    still = (batch.video[:, :1] - batch.video[:, 1:]).square().mean()

    def learned(seed: int) -> bool:
        net = trained("latent_actions", batch, steps=350, seed=seed).net.eval()
        found = net.infer(2 * batch.video - 1)
        own, other = (
            (animate(net, batch.video[:, 0], action)[:, 1:] - batch.video[:, 1:]).square().mean() / still
            for action in (found, found.roll(1, dims=0))
        )
        # The two clips that turn at every step never go the same way; the last steps may be told alike.
        ways_differ = int((found[2] != found[3]).sum())
        return bool(own < 0.25 and other > 0.5 and ways_differ > found.shape[1] / 2)

    assert any(learned(seed) for seed in range(6))


@pytest.mark.thorough
def test_caddy_learns_a_few_clips_and_finds_its_actions_again():
    batch = VideoBatch.unlabelled(squares())
    terms = trained("caddy", batch, steps=150, weights=LossWeights(motion=1)).last_terms
    still = 2 * (batch.video[:, :1] - batch.video[:, 1:]).abs().mean()
    assert terms["rec"] < 0.5 * still
    assert -terms["mi"] > 0.6 * math.log(2)

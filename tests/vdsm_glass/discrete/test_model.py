"""What models of one action a frame make of clips and of first frames, against one step at a time."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from data_modules.common.errors import UserError
from tests.vdsm_glass.discrete.small import MODELS
from vdsm_glass.discrete.model import DiscreteModel
from vdsm_glass.discrete.network import DiscreteActions, animate

close = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-3)
"""A batch of clips and each by itself are summed in another order, and rounding grows from frame to frame."""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> DiscreteModel:
    return MODELS[request.param]()


@pytest.fixture(scope="module")
def video() -> Tensor:
    return torch.rand(3, 5, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def stepped(model: DiscreteModel, first: Tensor, actions: list[int], real: Tensor | None = None) -> Tensor:
    """A video (t, 3, h, w) from first (3, h, w), written out."""
    scene, frames = model.network.start(2 * first[None] - 1), [first]
    for t, action in enumerate(actions):
        if real is not None:
            scene = scene._replace(frame=2 * real[None, t] - 1)
        scene = model.network.advance(scene, torch.tensor([action]))
        frames.append((scene.frame[0] / 2 + 0.5).clamp(0, 1))
    return torch.stack(frames)


def test_verbs_are_steps_from_a_first_frame_by_inferred_actions(model: DiscreteModel, video: Tensor):
    found = model.actions(video).local_action
    assert found.shape == (3, 4)
    assert set(found.flatten().tolist()) <= set(range(model.k))
    rebuilt, moved, cells = model.reconstruct(video), model.transfer(video, video.flip(0)), model.swap(video, video[:2])
    for b in range(3):
        close(rebuilt[b], stepped(model, video[b, 0], found[b].tolist()))
        close(moved[b], stepped(model, video[2 - b, 0], found[b].tolist()))
        close(cells[1, b], stepped(model, video[1, 0], found[b].tolist()))
        forced = model.teacher_forced(video)[b]
        close(forced, stepped(model, video[b, 0], found[b].tolist(), real=video[b]))
    assert not torch.equal(forced, rebuilt[2])
    close(model.animate(video, DiscreteActions(found)), rebuilt)
    assert model.reconstruct(video[0]).shape == video[0].shape


def test_actions_change_what_is_drawn(model: DiscreteModel, video: Tensor):
    cells = model.action_matrix(video[:2, :1], steps=3)
    assert cells.shape == (2, model.k, 4, 3, 32, 48)
    for k in range(model.k):
        close(cells[1, k], stepped(model, video[1, 0], [k] * 3))
    assert all(not torch.allclose(cells[0, 0, -1], cells[0, k, -1], atol=1e-4) for k in range(1, model.k))
    with pytest.raises(UserError, match="has no global actions, only 3 local ones"):
        model.action_matrix(video[:1], of="global")


def test_a_rollout_begins_its_actions_again_or_draws_them(model: DiscreteModel, video: Tensor):
    found = [0, 1, 2, 1]
    model.inferred = lambda clips: DiscreteActions(torch.tensor([found]))  # pyright: ignore[reportAttributeAccessIssue]
    made = model.rollout(video[0], steps=8)
    close(made, stepped(model, video[0, 0], (found + found)[:7]))
    drawn = [model.rollout(video[:1, :1], steps=9, dynamics="prior", seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert model.rollout(video[:1], steps=1).shape == (1, 1, 3, 32, 48)


def test_frames_of_any_size_are_brought_to_multiples(model: DiscreteModel):
    multiple = model.network.frame_multiple
    assert all(side % multiple == 0 for side in model.fit(33, 50))
    with pytest.raises(UserError, match="a video of one frame shows no action"):
        model.reconstruct(torch.rand(1, 3, 32, 48))


def test_the_first_frame_is_the_one_that_was_given(model: DiscreteModel, video: Tensor):
    assert torch.equal(animate(model.network, video[:, 0], torch.zeros(3, 2, dtype=torch.int64))[:, 0], video[:, 0])

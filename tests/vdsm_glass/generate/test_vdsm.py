"""The verbs of VDSM on tensors, against its densities."""

from __future__ import annotations

import pytest
import torch

from tests.vdsm_glass.play.small import small_vdsm
from vdsm_glass.generate.vdsm import VDSMFramesModel, VDSMModel, between
from vdsm_glass.vdsm.sequences import SequenceVDSM


@pytest.fixture
def net() -> SequenceVDSM:
    return small_vdsm()


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_swap_with_oneself_is_the_reconstruction(net, video):
    for model in (VDSMModel(net), VDSMFramesModel(net.frames)):
        torch.testing.assert_close(model.swap_pairs(video, video), model.reconstruct(video))


def test_grid_has_identities_in_rows_and_motions_in_columns(net, video):
    model = VDSMModel(net)
    cells = model.swap(video, identities=video[:2])
    assert cells.shape == (2, 3, 4, 3, 16, 16)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(cells[i, j], model.swap_pairs(video[j : j + 1], video[i : i + 1])[0])


def test_transfer_is_the_actions_dynamics_unfolded_on_the_others_identity(net, video):
    with torch.no_grad():
        wanted = net.decode(net.rollout(net.dynamics(video), steps=6), net.frames.encode(video.flip(dims=[0])).s)
    torch.testing.assert_close(VDSMModel(net).transfer(video, video.flip(dims=[0]), steps=6), wanted)


def test_both_transfers_take_the_motion_of_the_first_and_the_identity_of_the_second(net, video):
    # Weights so large that another clip's d would be seen.
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model, other = VDSMModel(net), video.flip(dims=[0])
    made = model.protocols["transfer"].make(model, video, other, torch.Generator())
    with torch.no_grad():
        motion, identity = net.dynamics(video), net.frames.encode(other).s
        wanted = net.decode(net.rollout(motion, steps=4), identity)
        of_the_other = net.decode(net.rollout(net.dynamics(other), steps=4), identity)
    for clips in (model.transfer(video, other), made):
        torch.testing.assert_close(clips, wanted)
        assert (clips - of_the_other).abs().max() > 0.05


def test_a_rollout_of_the_clips_length_is_its_reconstruction_and_goes_on_from_there(net, video):
    far = VDSMModel(net).rollout(video, steps=9)
    assert far.shape == (3, 9, 3, 16, 16)
    torch.testing.assert_close(far[:, :4], VDSMModel(net).reconstruct(video))


def test_prior_rollout_follows_the_transition(net, video):
    d = net.encode(video).d
    z = net.rollout(d, steps=3, dynamics="prior")
    torch.testing.assert_close(z[:, 0], net.follow(d, steps=1)[:, 0])
    torch.testing.assert_close(z[:, 1], net.transition(z[:, 0], d).loc)
    torch.testing.assert_close(z[:, 2], net.transition(z[:, 1], d).loc)


@pytest.mark.parametrize("stage", [1, 2])
def test_samples_are_repeatable_by_their_generator_alone(net, stage):
    model = VDSMModel(net) if stage == 2 else VDSMFramesModel(net.frames)
    clips = [model.sample(2, steps=5, seed=torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)]
    assert clips[0].shape == (2, 5, 3, 16, 16)
    assert torch.equal(clips[0], clips[1])
    assert not torch.equal(clips[0], clips[2])
    assert 0 <= clips[0].min() <= clips[0].max() <= 1
    torch.testing.assert_close(clips[0], model.sample(2, steps=5, seed=7))


def test_interpolation_starts_and_ends_at_its_ends(net, video):
    model, latents = VDSMModel(net), net.encode(video)
    torch.testing.assert_close(between(latents.s[0], latents.s[1], count=3)[1], (latents.s[0] + latents.s[1]) / 2)
    people = model.interpolate(video[0], video[2], count=4)
    torch.testing.assert_close(people[0], model.swap_pairs(video[:1], video[:1])[0])
    torch.testing.assert_close(people[-1], model.swap_pairs(video[:1], video[2:])[0])
    motions = model.interpolate(video[0], video[1], count=3, of="motion")
    torch.testing.assert_close(motions[-1], model.transfer(video[1], video[0]))

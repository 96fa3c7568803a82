import pytest
import torch

from vdsm_glass.generate.interpolate import between, interpolate_dynamics, interpolate_identity
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.generate.sample import sample
from vdsm_glass.generate.swap import swap, swap_grid
from vdsm_glass.generate.transfer import rollout, transfer
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes


@pytest.fixture
def net() -> SequenceVDSM:
    torch.manual_seed(0)
    sizes = Sizes(
        kappa_z=3,
        kappa_s=4,
        kappa_d=5,
        rnn_layers=1,
        rnn_dim=6,
        combiner_dim=7,
        encoder_channels=(4, 4, 8),
        identity_dim=6,
        decoder_channels=(8, 4),
    )
    net = SequenceVDSM(sizes).eval()
    net.frames.tau_s.fill_(5.0)
    return net


@pytest.fixture
def video() -> torch.Tensor:
    return torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_swap_with_oneself_is_the_reconstruction(net, video):
    latents = net.encode(video)
    torch.testing.assert_close(swap(net, latents, latents), reconstruct(net, video))
    frame_latents = net.frames.encode(video)
    torch.testing.assert_close(swap(net.frames, frame_latents, frame_latents), reconstruct(net.frames, video))


def test_grid_has_identities_in_rows_and_motions_in_columns(net, video):
    latents = net.encode(video)
    cells = swap_grid(net, motion=latents, identity=latents[:2])
    assert cells.shape == (2, 3, 4, 3, 16, 16)
    for i in range(2):
        for j in range(3):
            one = swap(net, motion=latents[j : j + 1], identity=latents[i : i + 1])
            torch.testing.assert_close(cells[i, j], one[0])


def test_transfer_depends_on_the_action_clip_through_d_alone(net, video):
    cells = transfer(net, actions=video, identities=video.flip(dims=[0]), steps=6)
    d, s = net.encode(video).d, net.frames.encode(video).s
    torch.testing.assert_close(cells[2, 1], rollout(net, d[1:2], s[:1], steps=6)[0])


def test_a_rollout_of_the_clips_length_is_its_reconstruction_and_goes_on_from_there(net, video):
    latents = net.encode(video)
    far = rollout(net, latents.d, latents.s, steps=9)
    assert far.shape == (3, 9, 3, 16, 16)
    torch.testing.assert_close(far[:, :4], reconstruct(net, video))


def test_prior_rollout_follows_the_transition(net, video):
    d = net.encode(video).d
    z = net.rollout(d, steps=3, dynamics="prior")
    torch.testing.assert_close(z[:, 0], net.follow(d, steps=1)[:, 0])
    torch.testing.assert_close(z[:, 1], net.transition(z[:, 0], d).loc)
    torch.testing.assert_close(z[:, 2], net.transition(z[:, 1], d).loc)


@pytest.mark.parametrize("stage", [1, 2])
def test_samples_are_repeatable_by_their_generator_alone(net, stage):
    network = net if stage == 2 else net.frames
    clips = [sample(network, count=2, steps=5, generator=torch.Generator().manual_seed(seed)) for seed in (7, 7, 8)]
    assert clips[0].shape == (2, 5, 3, 16, 16)
    assert torch.equal(clips[0], clips[1])
    assert not torch.equal(clips[0], clips[2])
    assert 0 <= clips[0].min() <= clips[0].max() <= 1


def test_interpolation_starts_and_ends_at_its_ends(net, video):
    latents = net.encode(video)
    torch.testing.assert_close(between(latents.s[0], latents.s[1], count=3)[1], (latents.s[0] + latents.s[1]) / 2)
    people = interpolate_identity(net, latents[:1], latents.s[0], latents.s[2], count=4)
    torch.testing.assert_close(people[0], swap(net, latents[:1], latents[:1])[0])
    torch.testing.assert_close(people[-1], swap(net, latents[:1], latents[2:])[0])
    motions = interpolate_dynamics(net, latents.s[0], latents.d[0], latents.d[1], count=3, steps=4)
    torch.testing.assert_close(motions[-1], rollout(net, latents.d[1:2], latents.s[:1], steps=4)[0])

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.reference.mixture_decoder import mixture_decoder
from tests.reference.vdsm import dynamics_decoder, dynamics_encoder, gated_transition
from vdsm_glass.vdsm.densities import (
    Combiner,
    DynamicsDecoder,
    DynamicsEncoder,
    Encoder,
    GatedTransition,
    MixtureDecoder,
)
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes


def gradient_reaches(net: nn.Module) -> set[str]:
    return {name for name, p in net.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}


def test_first_stage_trains_everything(frames, video):
    ElboWeights().total(evaluate(frames.model, frames.guide, video).terms).backward()
    assert gradient_reaches(frames) == {name for name, _ in frames.named_parameters()}


def test_second_stage_trains_everything_but_the_frames(sequences, video):
    ElboWeights().total(evaluate(sequences.model, sequences.guide, video).terms).backward()
    expected = {name for name, _ in sequences.named_parameters() if not name.startswith("frames.")}
    assert gradient_reaches(sequences) == expected


def test_frozen_frames_stay_in_eval_mode(sequences):
    sequences.train()
    assert sequences.training
    assert sequences.combiner.training
    assert not any(module.training for module in sequences.frames.modules())


def test_table_2_sizes_give_the_papers_parameter_counts():
    with torch.device("meta"):
        net = SequenceVDSM(Sizes())
    decoder = sum(p.numel() for p in net.frames.decoder.parameters())
    assert decoder == 40 * (16 * (70 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 512 + 256 + 128 + 64 + 3)
    assert round(decoder / 1e6) == 133


def test_encoder_is_not_linear(sizes):
    # A published implementation passes True as LeakyReLU's slope, which makes its encoder linear.
    torch.manual_seed(0)
    encoder, x = Encoder(sizes).convolutions, torch.randn(2, 3, 16, 16)
    zero = encoder(torch.zeros_like(x))
    assert not torch.allclose(encoder(x) + encoder(-x), 2 * zero, atol=1e-3)


def test_identity_does_not_depend_on_the_order_of_frames(frames, video):
    s, z = frames.encoder(video)
    s_shuffled, z_shuffled = frames.encoder(video[:, [2, 0, 3, 1]])
    torch.testing.assert_close(s_shuffled.loc, s.loc)
    torch.testing.assert_close(s_shuffled.scale, s.scale)
    torch.testing.assert_close(z_shuffled.loc, z.loc[:, [2, 0, 3, 1]])


def test_transition_equals_its_equations_and_its_W_starts_as_the_identity(sizes):
    torch.manual_seed(0)
    transition = GatedTransition(sizes)
    z, d = torch.randn(4, 3), torch.randn(4, 5)
    p = transition(z, d)
    weights = dict(transition.named_parameters())
    for n in range(4):
        loc, scale = gated_transition(weights, z[n], d[n])
        torch.testing.assert_close(p.loc[n], loc)
        torch.testing.assert_close(p.scale[n], scale)
    torch.testing.assert_close(transition.keep(z), z)


def test_combiner_is_the_mean_of_two_activations(sizes):
    torch.manual_seed(0)
    combiner = Combiner(sizes)
    z, d, h = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 4, 6)
    drive = combiner.drive(h, d)
    hidden = 0.5 * (torch.tanh(combiner.pose(z)) + drive[:, 1])
    loc, raw = combiner.head(hidden).chunk(2, dim=-1)
    q = combiner(z, drive[:, 1])
    torch.testing.assert_close(q.loc, loc)
    torch.testing.assert_close(q.scale, torch.nn.functional.softplus(raw) + 1e-4)
    by_hand = combiner.dynamics(torch.cat([h[:, 1], d], dim=-1))
    torch.testing.assert_close(drive[:, 1], torch.where(by_hand > 0, by_hand, 0.2 * by_hand))


def test_unfolding_further_does_not_change_the_beginning(sizes):
    torch.manual_seed(0)
    decoder, d = DynamicsDecoder(sizes), torch.randn(2, 5)
    torch.testing.assert_close(decoder(d, steps=9)[:, :4], decoder(d, steps=4))


def test_dynamics_see_the_order_of_poses(sizes):
    torch.manual_seed(0)
    encoder, z = DynamicsEncoder(sizes), torch.randn(2, 6, 3)
    assert not torch.allclose(encoder(z).loc, encoder(z.flip(dims=[1])).loc, atol=1e-3)


def randomised(module: nn.Module, *, scale: float) -> dict[str, torch.Tensor]:
    """Every weight, also those that start at zero, drawn from N(0, scale²); by name."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=scale)
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def test_dynamics_encoder_and_decoder_are_lstms_written_by_hand(sizes):
    encoder, decoder, z, d = DynamicsEncoder(sizes), DynamicsDecoder(sizes), torch.randn(2, 5, 3), torch.randn(2, 5)
    encoding, decoding = randomised(encoder, scale=0.7), randomised(decoder, scale=0.7)
    q, h = encoder(z), decoder(d, steps=6)
    for n in range(2):
        loc, scale = dynamics_encoder(encoding, z[n], layers=sizes.rnn_layers)
        torch.testing.assert_close(q.loc[n], loc)
        torch.testing.assert_close(q.scale[n], scale)
        torch.testing.assert_close(h[n], dynamics_decoder(decoding, d[n], layers=sizes.rnn_layers, steps=6))


@pytest.mark.parametrize("single", [False, True])
def test_decoder_equals_a_slow_one_where_its_slopes_and_its_experts_matter(sizes, single):
    # Fresh weights give logits so small that a decoder without any LeakyReLU would hardly differ.
    decoder = MixtureDecoder(replace(sizes, single_decoder=single))
    for parameter in decoder.parameters():
        parameter.data.mul_(4)
    z, mixture = torch.randn(sizes.kappa_s, 2, sizes.kappa_z), torch.eye(sizes.kappa_s)
    found = decoder(z, mixture)
    for expert in range(sizes.kappa_s):
        one = slice(0, 1) if single else slice(expert, expert + 1)
        alone = (
            [layer.weight[one].permute(0, 4, 3, 1, 2) for layer in decoder.layers],
            [layer.bias[one] for layer in decoder.layers],
        )
        blended = [[part.expand(sizes.kappa_s, *part.shape[1:]) for part in parts] for parts in alone]
        wanted = mixture_decoder(z[expert, None], mixture[expert, None], *blended)[0]
        torch.testing.assert_close(found[expert], wanted, rtol=1e-4, atol=1e-4)


def test_mixture_sharpens_as_tau_grows(frames):
    s = torch.tensor([[0.3, 0.1, 0.0, -0.2]])
    entropies = []
    for tau in (1.0, 5.0, 10.0):
        frames.tau_s.fill_(tau)
        mixture = frames.mixture(s)
        torch.testing.assert_close(mixture.sum(dim=-1), torch.ones(1))
        entropies.append(float(torch.special.entr(mixture).sum()))
    assert entropies[0] > entropies[1] > entropies[2]


def test_single_decoder_has_one_expert_and_still_sees_the_identity():
    torch.manual_seed(0)
    sizes = Sizes(kappa_z=3, kappa_s=4, encoder_channels=(4, 4, 8), decoder_channels=(8, 4), single_decoder=True)
    net = SequenceVDSM(sizes).frames
    assert all(layer.weight.shape[0] == 1 for layer in net.decoder.layers)
    z = torch.randn(1, 2, 3)
    apart = net.decode(z, torch.tensor([[4.0, 0, 0, 0]])) - net.decode(z, torch.tensor([[0.0, 0, 0, 4]]))
    assert float(apart.abs().max()) > 1e-3


def test_encoder_and_decoder_must_agree_on_the_frame():
    with pytest.raises(ValueError, match=r"take frames of 32x32.*draw 64x64"):
        Sizes(encoder_channels=(8, 8, 8, 8))


def test_overfits_one_clip(frames):
    torch.manual_seed(0)
    video = torch.zeros(1, 2, 3, 16, 16)
    video[:, 0, 0, 2:8, 2:8] = 1.0
    video[:, 1, 1, 8:14, 8:14] = 1.0
    optimiser = torch.optim.Adam(frames.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        ElboWeights(kl_z=0.01, kl_s=0.01).total(evaluate(frames.model, frames.guide, video).terms).backward()
        optimiser.step()
    latents = frames.encode(video)
    error = (frames.decode(latents.z, latents.s) - video).square().mean()
    assert -10 * error.log10().item() > 25

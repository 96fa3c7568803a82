"""The network and the terms of the loss, against slow computations of their own."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from vdsm_glass.dsvae.losses import DSVAEWeights, contrast, mutual_information, same_content, same_motion
from vdsm_glass.dsvae.module import DSVAEModule
from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.vdsm.densities import NormalParameters
from vdsm_glass.vdsm.elbo import evaluate

NARROW = {"kappa_z": 3, "kappa_s": 4, "rnn_dim": 6, "encoder_channels": (4, 4, 8), "decoder_channels": (8, 4)}


@pytest.fixture(params=[False, True], ids=["dsvae", "dbse"])
def net(request: pytest.FixtureRequest) -> DSVAE:
    torch.manual_seed(1)
    return DSVAE(Sizes(**NARROW, single_element=request.param))


@pytest.fixture
def video() -> torch.Tensor:
    """(b 3, t 4, 3, 16, 16) in [0, 1]."""
    return torch.rand(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def test_the_elbo_equals_densities_summed_by_hand(net: DSVAE, video: torch.Tensor):
    elbo = evaluate(net.model, net.guide, video)
    q_s, q_z = net.encoder(video)
    s = elbo.latents["s"]
    z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, 5)], dim=1)
    kl_s = kl_divergence(Normal(*q_s), Normal(0.0, 1.0)).sum() / 3
    kl_z, state = torch.zeros(()), None
    for t in range(4):
        before = z[:, t - 1] if t else torch.zeros(3, 3)
        state = net.prior.cell(before, state)
        loc, raw = net.prior.head(state[0]).chunk(2, dim=-1)
        p = Normal(loc, torch.nn.functional.softplus(raw) + 1e-4)
        kl_z += kl_divergence(Normal(q_z.loc[:, t], q_z.scale[:, t]), p).sum() / 3
    drawn = Bernoulli(probs=net.decode(z, s), validate_args=False)
    wanted = {"kl_s": kl_s, "kl_z": kl_z, "reconstruction": -drawn.log_prob(video).sum() / 3}
    assert elbo.terms.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-4, atol=1e-3)


def test_dbse_reads_s_in_the_first_frame_alone_and_nothing_that_stays_in_z(video: torch.Tensor):
    torch.manual_seed(1)
    net = DSVAE(Sizes(**NARROW, single_element=True))
    later = video.clone()
    later[:, 1:] = later[:, 1:].flip(dims=[1])
    torch.testing.assert_close(net.encode(later).s, net.encode(video).s)
    assert not torch.allclose(net.encode(later).z, net.encode(video).z)
    still = video[:, :1].expand_as(video)
    z = net.encode(still).z
    torch.testing.assert_close(z, z[:1].expand_as(z))  # a clip that stands still tells z nothing of what it shows
    assert (net.encode(still).s[0] - net.encode(still).s[1]).abs().max() > 1e-4


def test_a_rollout_keeps_what_was_inferred_and_goes_on_by_the_prior(net: DSVAE, video: torch.Tensor):
    z, d = net.encode(video).z, net.dynamics(video)
    torch.testing.assert_close(net.rollout(d, steps=2), z[:, :2])
    long = net.rollout(d, steps=6)
    torch.testing.assert_close(long[:, :4], z)
    state, before = None, torch.zeros(3, 3)
    for t in range(6):
        p, state = net.prior(before, state)
        before = long[:, t]
    torch.testing.assert_close(long[:, 5], p.loc)
    unfolded = net.rollout(d, steps=4, dynamics="prior")
    torch.testing.assert_close(unfolded[:, 0], z[:, 0])
    assert not torch.allclose(unfolded[:, 1], z[:, 1])


def test_the_contrast_by_hand():
    a, b = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for i in range(4):
        for one, other in ((a, b), (b, a)):
            scores = [math.exp(float(torch.cosine_similarity(one[i], other[j], dim=0)) / 0.5) for j in range(4)]
            total -= math.log(scores[i] / sum(scores)) / 8
    assert float(contrast(a, b)) == pytest.approx(total, rel=1e-5)


def test_mutual_information_by_hand():
    g = torch.Generator().manual_seed(0)
    s, loc_s, z, loc_z = (torch.randn(shape, generator=g) for shape in ((4, 2), (4, 2), (4, 3, 2), (4, 3, 2)))
    scale_s, scale_z = torch.rand(4, 2, generator=g) + 0.5, torch.rand(4, 3, 2, generator=g) + 0.5
    total = 0.0
    for i in range(4):
        of_s = [Normal(loc_s[j], scale_s[j]).log_prob(s[i]).sum().exp().item() for j in range(4)]
        of_z = [Normal(loc_z[j], scale_z[j]).log_prob(z[i]).sum().exp().item() for j in range(4)]
        joint = sum(x * y for x, y in zip(of_s, of_z, strict=True)) / 4
        total += math.log(joint / (sum(of_s) / 4 * sum(of_z) / 4)) / 4
    found = mutual_information(s, z, NormalParameters(loc_s, scale_s), NormalParameters(loc_z, scale_z))
    assert float(found) == pytest.approx(total, rel=1e-4)


def test_what_the_two_views_keep(video: torch.Tensor):
    torch.manual_seed(0)
    shuffled = same_content(video)
    assert not torch.equal(shuffled, video)
    torch.testing.assert_close(shuffled.flatten(2).sum(2).sort(1).values, video.flatten(2).sum(2).sort(1).values)
    still = same_motion(video[:, :1].expand_as(video))
    assert not torch.allclose(still[:, 0], video[:, 0], atol=0.1)
    torch.testing.assert_close(still, still[:, :1].expand_as(still))  # one change for all frames: no motion comes in
    assert still.min() >= 0
    assert still.max() <= 1
    torch.testing.assert_close(same_motion(torch.zeros_like(video)), torch.zeros_like(video))


def test_every_parameter_is_trained_and_only_terms_with_a_weight_are_computed(video: torch.Tensor):
    plain = DSVAEModule(Sizes(**NARROW))
    assert plain.terms(video).terms.keys() == {"reconstruction", "kl_s", "kl_z"}
    torch.manual_seed(0)
    module = DSVAEModule(Sizes(**NARROW), DSVAEWeights(contrast_s=2.0, contrast_z=3.0, mutual=0.5))
    terms = module.terms(video).terms
    assert terms.keys() == {"reconstruction", "kl_s", "kl_z", "contrast_s", "contrast_z", "mutual"}
    by_hand = terms["reconstruction"] + terms["kl_s"] + terms["kl_z"]
    by_hand = by_hand + 2 * terms["contrast_s"] + 3 * terms["contrast_z"] + 0.5 * terms["mutual"]
    torch.testing.assert_close(module.weights.total(terms), by_hand)
    by_hand.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    module.anneal(kl_z=0.1, tau_s=2.0)
    assert (module.weights.kl_z, module.weights.mutual) == (0.1, 0.5)


@pytest.mark.parametrize("single_element", [False, True])
def test_a_still_clip_and_one_that_moves_are_learned_by_heart(single_element: bool):
    torch.manual_seed(0)
    video = torch.zeros(2, 3, 3, 16, 16)
    video[0, :, 0] = 1
    for step in range(3):
        video[1, step, 2, 2:, 5 * step : 5 * step + 6] = 1
    video[1, :, 2, 14:] = 1
    sizes = Sizes(**(NARROW | {"rnn_dim": 16, "encoder_channels": (8, 8, 16)}), single_element=single_element)
    # At full weight the KLs of so few pixels win, and all latents say nothing.
    module = DSVAEModule(sizes, weights=DSVAEWeights(kl_s=0.01, kl_z=0.01))
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    for _ in range(600):
        optimiser.zero_grad()
        module.weights.total(module.terms(video).terms).backward()
        optimiser.step()
    latents = module.net.encode(video)
    error = (module.net.decode(latents.z, latents.s) - video).square().mean()
    assert error < 0.02 * video.var()

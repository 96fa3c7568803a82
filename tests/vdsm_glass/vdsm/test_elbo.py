import pyro
import pytest
import torch
from einops import rearrange
from pyro import poutine
from pyro.infer import TraceMeanField_ELBO

from tests.reference.vdsm import frame_terms, sequence_terms
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate


def sites(function, video):
    trace = poutine.trace(function).get_trace(video)
    return {
        name: tuple(site["value"].shape)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and name not in ("sequences", "frames")
    }


@pytest.mark.parametrize("stage", ["frames", "sequences"])
def test_model_and_guide_have_the_same_latent_sites(stage, request, video):
    net = request.getfixturevalue(stage)
    guided = sites(net.guide, video)
    modelled = sites(net.model, video)
    assert modelled.pop("x") == tuple(video.shape)
    assert modelled == guided


def test_sites_of_the_second_stage_are_those_of_eq_1(sequences, video):
    assert set(sites(sequences.guide, video)) == {"s", "d", "z_1", "z_2", "z_3", "z_4"}


def test_first_stage_equals_the_densities_summed_by_hand(frames, video):
    elbo = evaluate(frames.model, frames.guide, video)
    z = rearrange(elbo.latents["z"], "t b z -> b t z")
    expected = frame_terms(frames, video, s=elbo.latents["s"], z=z)
    assert elbo.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-4, atol=1e-3)


def test_second_stage_equals_the_densities_summed_by_hand(sequences, video):
    elbo = evaluate(sequences.model, sequences.guide, video)
    z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, 5)], dim=1)
    expected = sequence_terms(sequences, video, s=elbo.latents["s"], d=elbo.latents["d"], z=z)
    assert elbo.terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("stage", ["frames", "sequences"])
def test_sum_of_terms_is_pyros_elbo(stage, request, video):
    net = request.getfixturevalue(stage)
    torch.manual_seed(5)
    ours = sum(evaluate(net.model, net.guide, video).terms.values())
    torch.manual_seed(5)
    theirs = TraceMeanField_ELBO().differentiable_loss(net.model, net.guide, video) / len(video)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3)


def test_each_weight_multiplies_its_own_term(sequences, video):
    terms = evaluate(sequences.model, sequences.guide, video).terms
    weights = {"reconstruction": 2.0, "kl_z": 0.25, "kl_s": 3.0, "kl_d": 0.5}
    by_hand = sum(weights[name] * term.item() for name, term in terms.items())
    assert ElboWeights(**weights).total(terms).item() == pytest.approx(by_hand, rel=1e-5)


def test_a_term_without_a_weight_is_refused(frames, video):
    with pytest.raises(KeyError, match="kl_unknown"):
        ElboWeights().total({"kl_unknown": torch.ones(())})


def test_evaluating_leaves_nothing_in_pyros_parameter_store(sequences, video):
    pyro.clear_param_store()
    evaluate(sequences.model, sequences.guide, video)
    assert len(pyro.get_param_store()) == 0

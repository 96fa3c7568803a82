"""Terms that keep identity and poses apart: what they are, who learns from them, and that the paper has none."""

from __future__ import annotations

import pytest
import torch

from vdsm_glass.vdsm import VDSMPretrain
from vdsm_glass.vdsm.apart import ApartWeights, apartness
from vdsm_glass.vdsm.densities import NormalParameters

ALL = ApartWeights(pairs=1, swapped_s=1, swapped_z=1)


def pretraining(sizes, apart: ApartWeights, **options) -> VDSMPretrain:
    """Stage 1 with an encoder that tells pictures apart, as an untrained one hardly does."""
    torch.manual_seed(0)
    made = VDSMPretrain(sizes, apart=apart, **options).train()
    with torch.no_grad():
        for layer in made.net.encoder.convolutions[::3]:
            layer.weight *= 3
    return made


def gradient(part: torch.nn.Module) -> float:
    return sum(float(each.grad.abs().sum()) for each in part.parameters() if each.grad is not None)


def test_the_paper_has_none_of_them(sizes, video):
    plain = pretraining(sizes, ApartWeights())
    terms = plain.terms(video).terms
    assert terms.keys() == {"reconstruction", "kl_z", "kl_s"}
    torch.testing.assert_close(plain.total(terms), plain.weights.total(terms))


def test_apartness_of_normals_by_hand():
    # KL(N(0, 1) ‖ N(1, 4)) = log 2 + (1 + 1) / 8 - 1/2, and back (4 + 1) / 2 - 1/2 - log 2; two dimensions each.
    p = NormalParameters(torch.zeros(3, 2), torch.ones(3, 2))
    q = NormalParameters(torch.ones(3, 2), torch.full((3, 2), 2.0))
    torch.testing.assert_close(apartness(p, q), torch.tensor(0.25 - 0.5 + 2.5 - 0.5))
    assert apartness(p, p) == 0


def test_halves_that_are_alike_are_not_apart(sizes, video):
    made = pretraining(sizes, ApartWeights(pairs=1), identity_from_half=True)
    twice = torch.cat([video[:, :2], video[:, :2]], dim=1)
    assert made.terms(twice).terms["pairs"] < 1e-5
    assert made.terms(video).terms["pairs"] > 1e-5


@pytest.mark.parametrize(("term", "decoder_learns"), [("pairs", False), ("swapped_s", True), ("swapped_z", False)])
def test_who_learns_from_which_term(term: str, decoder_learns: bool, sizes, video):
    made = pretraining(sizes, ALL)
    made.terms(video).terms[term].backward()
    assert (gradient(made.net.decoder) > 0) == decoder_learns
    assert gradient(made.net.encoder) > 0


def test_the_encoder_that_looks_at_a_swap_is_fixed(sizes, video):
    made = pretraining(sizes, ALL)
    drawn = torch.rand(3, 2, 3, 16, 16, requires_grad=True)
    made.net.decode = lambda z, s: drawn  # pyright: ignore[reportAttributeAccessIssue]
    made.terms(video).terms["swapped_s"].backward()
    assert gradient(made.net) == 0
    assert drawn.grad is not None
    assert drawn.grad.abs().max() > 0


def test_a_drawing_that_shows_its_own_identity_costs_nothing(sizes, video):
    made = pretraining(sizes, ApartWeights(swapped_s=1, swapped_z=1))
    # The same clip, three times, drawn as it is: whoever it is exchanged with is itself.
    same = video[:1, :1].expand(3, 4, -1, -1, -1)
    made.net.decode = lambda z, s: same[:, ::2]  # pyright: ignore[reportAttributeAccessIssue]
    terms = made.terms(same).terms
    assert terms["swapped_s"] < 1e-5
    assert terms["swapped_z"] < 1e-5
    made.net.decode = lambda z, s: 1 - same[:, ::2]  # pyright: ignore[reportAttributeAccessIssue]
    assert min(made.terms(same).terms[name] for name in ("swapped_s", "swapped_z")) > 1e-5


def test_identities_come_from_another_clip(sizes, video):
    made, seen = pretraining(sizes, ApartWeights(swapped_s=1)), []
    decode = made.net.decode
    made.net.decode = lambda z, s: seen.append((z, s)) or decode(z, s)  # pyright: ignore[reportAttributeAccessIssue]
    latents = made.terms(video).latents
    [(z, s)] = seen
    torch.testing.assert_close(s, latents["s"][[2, 0, 1]])
    torch.testing.assert_close(z, latents["z"].transpose(0, 1)[:, [0, 2]])


def test_nothing_is_swapped_before_its_step(sizes, video):
    made = pretraining(sizes, ApartWeights(pairs=2, swapped_s=3, swapped_from=1))
    terms = made.terms(video).terms
    assert "pairs" in terms
    assert "swapped_s" not in terms
    of_paper = made.weights.total({name: terms[name] for name in ("reconstruction", "kl_z", "kl_s")})
    torch.testing.assert_close(made.total(terms), of_paper + 2 * terms["pairs"])
    assert made.apart.at(1) == {"pairs": 2, "swapped_s": 3}


def test_large_weights_wait_for_their_step():
    weights = ApartWeights(pairs=30, swapped_s=0.5, gentle_until=4)
    assert weights.at(3) == {"pairs": 1, "swapped_s": 0.5}
    assert weights.at(4) == {"pairs": 30, "swapped_s": 0.5}

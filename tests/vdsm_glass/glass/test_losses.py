"""Every loss of GLASS equals its equation written out pixel by pixel."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reference import glass_losses as slow
from tests.vdsm_glass.glass.small import NARROW
from vdsm_glass.glass import losses
from vdsm_glass.glass.gma import GMA, Foregrounds, Layers, Motion
from vdsm_glass.glass.lma import Actions, Rollout
from vdsm_glass.glass.loss_weights import LossWeights
from vdsm_glass.glass.outline import MEAN_EDGE, edges, outlines

B, T, H, W = 2, 3, 8, 12


@pytest.fixture
def draw() -> Iterator:
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low

    return uniform


@pytest.fixture
def video(draw) -> Tensor:
    return draw(B, T, 3, H, W)


@pytest.fixture
def layers(draw) -> Layers:
    return Layers(m=draw(B, T, 1, H, W, low=0), f=draw(B, T, 3, H, W), b_hat=draw(B, T, 3, H, W))


@pytest.fixture
def motion(draw) -> Motion:
    return Motion(
        delta_F=draw(B, T - 1, 2),
        delta_B=draw(B, T - 1, 2),
        f_moved=draw(B, T - 1, 3, H, W),
        m_moved=draw(B, T - 1, 1, H, W, low=0),
        b_moved=draw(B, T - 1, 3, H, W),
    )


@pytest.fixture
def rollout(draw) -> Rollout:
    actions = Actions(
        index=torch.zeros(B, T - 1, dtype=torch.int64),
        a=draw(B, T - 1, 4),
        u=draw(B, T - 1, 4).float(),
        commitment=torch.tensor(0.3),
        codebook=torch.tensor(0.7),
        phi=draw(B, T, 5, 1, 1),
    )
    return Rollout(
        frames=tuple(draw(B, T - 1, 3, H // scale, W // scale).float() for scale in (4, 2, 1)),
        mask=draw(B, T - 1, 1, H, W, low=0).float(),
        phi=draw(B, T - 1, 5, 1, 1).float(),
        phi_hat=draw(B, T - 1, 5, 1, 1).float(),
        actions=actions,
    )


@pytest.mark.parametrize(("levels", "weighted"), [(1, False), (3, True)])
def test_the_global_losses_are_equations_1_to_5(video, layers, motion, levels: int, weighted: bool):
    terms = losses.gma_terms(
        video,
        layers,
        motion,
        weights=LossWeights().of_terms,
        theta=0.06,
        perceptual=lambda drawn, target: (drawn - target).square().mean(),
        recf_levels=levels,
        motion_weighted_recj=weighted,
    )
    m, f, b_hat, i = (value.numpy() for value in (layers.m, layers.f, layers.b_hat, video))
    f_moved, m_moved, b_moved = (value.numpy() for value in (motion.f_moved, motion.m_moved, motion.b_moved))
    expected = {
        "bin": slow.binarisation(m),
        "size": slow.size(m, theta=0.06),
        "recf": slow.foreground(f[:, 1:], f_moved, levels),
        "recb": slow.background(b_hat[:, 1:], b_moved),
        "recj": slow.joint(i, f_moved, m_moved, b_moved, weighted=weighted),
        "vgg": float(np.mean((b_hat[:, 1:] - b_moved) ** 2)),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-6)


def test_a_walk_is_steady_and_a_step_to_and_fro_is_not(video, layers, motion):
    weights = LossWeights(bin=0, size=0, recf=0, recb=0, recj=0, steady=1).of_terms
    walks = {
        "straight": ([[0.1, 0.0], [0.1, 0.0]], 0),
        "corner": ([[0.1, 0.0], [0.0, -0.2]], 0.1 + 0.2),
    }
    for walk, expected in walks.values():
        moved = replace(motion, delta_F=torch.tensor(walk).expand(B, T - 1, 2))
        terms = losses.gma_terms(video, layers, moved, weights=weights, theta=0.06, perceptual=None)
        assert {name: float(term) for name, term in terms.items()} == pytest.approx({"steady": expected})
    pair = replace(motion, delta_F=motion.delta_F[:, :1])
    assert not losses.gma_terms(video[:, :2], layers, pair, weights=weights, theta=0.06, perceptual=None)


def test_the_local_losses_are_equations_6_to_11(layers, motion, rollout):
    terms = losses.lma_terms(
        Foregrounds.of(layers, motion),
        rollout,
        weights=LossWeights().of_terms,
        perceptual=lambda drawn, target: (drawn - target).square().mean(),
    )
    f, f_moved, m = (value.numpy() for value in (layers.f, motion.f_moved, layers.m))
    coarse, middle, fine = (frames.numpy() for frames in rollout.frames)
    wanted = [(slow.quarter, coarse), (slow.half, middle), (lambda video: video, fine)]
    uns = slow.unsupervised_weight(f, fine)
    align = slow.aligned_weight(f[:, 1:], f_moved, fine)
    expected = {
        "commitment": 0.3,
        "codebook": 0.7,
        "recu": np.mean([slow.weighted(resize(f[:, 1:]), drawn, resize(uns)) for resize, drawn in wanted]),
        "recs": np.mean([slow.weighted(resize(f[:, 1:]), drawn, resize(align)) for resize, drawn in wanted]),
        "msk": np.abs(rollout.mask.numpy() - m[:, 1:]).mean(),
        "cyc": np.abs(rollout.phi.numpy() - rollout.phi_hat.numpy()).mean(),
        "lma_vgg": np.mean([((resize(f[:, 1:]) - drawn) ** 2).mean() for resize, drawn in wanted]),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_foregrounds_are_pulled_to_each_other_by_both_ends(layers):
    """Of L_RECF: ∂/∂f_2 = 2 (f_2 - f_1∘Δ) / n, and the opposite for f_1, also through the shift."""
    gma = GMA(NARROW, theta=0.06).double()
    gma.P_f.forward = gma.P_b.forward = lambda before, after: before.new_zeros(len(before), 2)
    f = layers.f[:, :2].requires_grad_()
    pair = replace(layers, f=f, m=layers.m[:, :2], b_hat=layers.b_hat[:, :2])
    weights = LossWeights(bin=0, size=0, recb=0, recj=0).of_terms
    moved = gma.motion(pair, pair.b_hat)
    terms = losses.gma_terms(pair.f, pair, moved, weights=weights, theta=0.06, perceptual=None)
    terms["recf"].backward()
    pull = 2 * (f[:, 1] - f[:, 0]).detach() / f[:, 1].numel()
    assert f.grad is not None
    torch.testing.assert_close(f.grad, torch.stack([-pull, pull], dim=1), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", ["recu", "recs"])
def test_the_weights_over_pixels_carry_no_gradient(layers, motion, rollout, name: str):
    fine, f = rollout.frames[-1].requires_grad_(), layers.f
    off = dict.fromkeys({"recu", "recs"} - {name}, 0)
    terms = losses.lma_terms(
        Foregrounds.of(layers, motion),
        replace(rollout, frames=(fine,)),
        weights=LossWeights(vq_extra=0, msk=0, cyc=0, **off).of_terms,
        perceptual=None,
    )
    terms[name].backward()
    aligned = losses.channel_sum(motion.f_moved - f[:, 1:]) + losses.channel_sum(fine - f[:, 1:])
    weight = losses.motion_weight(f, fine) if name == "recu" else aligned
    expected = weight * torch.sign(fine - f[:, 1:]) / fine.numel()
    torch.testing.assert_close(fine.grad, expected.detach().float())


def test_the_cycle_draws_predictions_to_real_features_and_not_the_other_way(layers, motion, rollout):
    phi, phi_hat = rollout.phi.requires_grad_(), rollout.phi_hat.requires_grad_()
    weights = LossWeights(vq_extra=0, recu=0, recs=0, msk=0).of_terms
    losses.lma_terms(Foregrounds.of(layers, motion), rollout, weights=weights, perceptual=None)["cyc"].backward()
    assert phi.grad is None
    torch.testing.assert_close(phi_hat.grad, torch.sign(phi_hat - phi).detach() / phi.numel())


def test_a_term_without_weight_is_not_computed(video, layers, motion):
    def never(drawn: Tensor, target: Tensor) -> Tensor:
        raise AssertionError("computed")

    weights = LossWeights(vgg=0, recb=0, bin=0).of_terms
    terms = losses.gma_terms(video, layers, motion, weights=weights, theta=0.06, perceptual=never)
    assert terms.keys() == {"size", "recf", "recj"}


def test_table_6():
    weights = LossWeights()
    of_gma = (weights.bin, weights.size, weights.recf, weights.recb, weights.vgg, weights.recj)
    of_lma = (weights.vq, weights.recu, weights.recs, weights.msk, weights.cyc, weights.lma_vgg)
    assert of_gma == (0.5, 0.1, 1.0, 2.0, 0.01, 1.0)
    assert of_lma == (0.25, 1.0, 1.0, 0.2, 0.2, 1.0)


def test_the_perceptual_part_stands_within_equation_4_and_the_codebook_term_carries_lambda_vq():
    values = {"recb": 1.0, "vgg": 3.0, "commitment": 5.0, "codebook": 7.0}
    terms = {name: torch.tensor(value) for name, value in values.items()}
    of_vq = 5 + 0.25 * 7
    assert float(LossWeights().total(terms)) == pytest.approx(2 + 2 * 0.01 * 3 + of_vq)
    assert float(LossWeights(vq_extra=0.1).total(terms)) == pytest.approx(2 + 2 * 0.01 * 3 + 0.1 * of_vq)


def test_decorrelation_is_the_mean_squared_correlation_of_two_of_us_dimensions(layers, motion, rollout):
    weights = LossWeights(vq_extra=0, recu=0, recs=0, msk=0, cyc=0, decorrelate=1).of_terms
    terms = losses.lma_terms(Foregrounds.of(layers, motion), rollout, weights=weights, perceptual=None)
    correlation = np.corrcoef(rollout.actions.u.flatten(0, 1).numpy(), rowvar=False)
    off_diagonal = correlation[~np.eye(len(correlation), dtype=bool)]
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(
        {"decorrelate": np.mean(off_diagonal**2)}, rel=1e-3
    )


def test_actions_on_a_line_are_correlated_and_a_cross_of_them_is_not():
    line = torch.linspace(-1, 1, 6)[:, None] * torch.tensor([1.0, -2.0, 3.0])
    cross = torch.cat([torch.eye(3), -torch.eye(3)])
    assert float(losses.decorrelation_loss(line[None])) == pytest.approx(1, abs=1e-3)
    assert float(losses.decorrelation_loss(cross[None])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pairs", [1, 5])
def test_actions_that_are_all_the_same_have_no_correlation_and_finite_gradients(pairs: int):
    u = torch.ones(1, pairs, 4, requires_grad=True)
    loss = losses.decorrelation_loss(u)
    loss.backward()
    assert loss == 0
    assert u.grad.isfinite().all()  # pyright: ignore[reportOptionalMemberAccess]


def test_the_outline_is_that_of_the_mask_in_the_middle():
    m = torch.zeros(1, 2, 1, 32, 48)
    m[:, 0, :, 4:20, 30:40], m[:, 1, :, 10:26, 5:15] = 1, 1
    seen = outlines(m, side=16)
    torch.testing.assert_close(seen[:, 0], seen[:, 1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen, seen.flip((-2, -1)), rtol=1e-3, atol=1e-3)
    assert seen[0, 0, 7:9, 7:9].min() > 0.99
    assert seen[0, 0, 0].max() < 0.01
    # The agent is 16x10 pixels of a square of 48, of which a cell has 3x3.
    assert seen.sum(dim=(-2, -1)).tolist() == [pytest.approx([160 / 9] * 2, rel=1e-3)]
    assert (seen > 0.5).any(dim=-1).sum() > (seen > 0.5).any(dim=-2).sum()


def test_backgrounds_with_holes_are_compared_where_neither_has_one():
    b_hat = torch.rand(1, 2, 3, 32, 48)
    m = torch.zeros(1, 2, 1, 32, 48)
    m[:, 0, :, 4:8, 4:8], m[:, 1, :, 20:24, 30:36] = 1, 1
    delta_B = torch.tensor([[[2 * 2 / 48, 0.0]]])
    b_moved = b_hat[:, :1].roll(2, dims=-1) * (1 - m[:, :1].roll(2, dims=-1))
    motion = Motion(delta_F=delta_B, delta_B=delta_B, f_moved=b_moved, m_moved=m[:, :1], b_moved=b_moved)
    seen = torch.ones(32, 48)
    # What moved in from outside, the hole that moved along, and the hole that is there now.
    seen[:, :2], seen[4:8, 6:10], seen[20:24, 30:36] = 0, 0, 0
    expected = (seen * (b_hat[:, 1:] - b_moved).abs()).mean()
    layers = Layers(m=m, f=b_hat, b_hat=b_hat)
    torch.testing.assert_close(losses.uncovered_loss(layers, motion), expected, rtol=1e-4, atol=1e-6)


def test_the_outlines_loss_is_least_where_the_drawing_is_right():
    m = torch.zeros(1, 1, 1, 32, 48)
    m[..., 4:20, 30:40] = 1
    right = torch.logit(outlines(m, side=8).clamp(1e-4, 1 - 1e-4)).requires_grad_()
    losses.outline_loss(right, m).backward()
    assert right.grad is not None
    assert right.grad.abs().max() < 1e-5
    assert losses.outline_loss(-right, m) > losses.outline_loss(right, m) + 1


def figure(*, colour: float, inside: float, left: bool) -> tuple[Tensor, Tensor]:
    """A square agent of one colour on nothing with a patch of another on one side: f and m of one frame."""
    m = torch.zeros(1, 1, 1, 32, 48)
    m[..., 8:24, 20:36] = 1
    f = colour * m.expand(-1, -1, 3, -1, -1).clone()
    columns = slice(22, 26) if left else slice(30, 34)
    f[..., 12:18, columns] = inside
    return f, m


def test_edges_tell_sides_and_neither_colours_nor_the_outline():
    left, other, right = (
        edges(*figure(colour=colour, inside=inside, left=side), side=16)[0, 0]
        for colour, inside, side in ((0.9, -0.3, True), (-0.2, 0.4, True), (0.9, -0.3, False))
    )
    torch.testing.assert_close(left, other, rtol=1e-3, atol=1e-3)
    assert left[:, :8].sum() > 10 * left[:, 8:].sum()
    assert right[:, 8:].sum() > 10 * right[:, :8].sum()
    f, m = figure(colour=0.9, inside=0.9, left=True)
    assert edges(f, m, side=16).max() == 0
    m[:] = 1
    assert edges(torch.rand_like(f), m, side=16).mean() == pytest.approx(MEAN_EDGE, rel=1e-3)


def test_the_edges_loss_is_least_where_the_drawing_is_right():
    f, m = figure(colour=0.9, inside=-0.3, left=True)
    right = edges(f, m, side=8)
    assert losses.edges_loss(right, f, m) == 0
    torch.testing.assert_close(losses.edges_loss(right + 0.5, f, m), torch.tensor(0.25))

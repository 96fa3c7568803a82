"""What can be laid on top of the paper's VDSM; all of it is off unless asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from pyro import poutine
from torch import nn

from tests.reference.vdsm import following_pose, frame_terms, kl_normal, sequence_terms
from vdsm_glass.muon import Muon
from vdsm_glass.vdsm import VDSMPretrain, VDSMSequence
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate
from vdsm_glass.vdsm.sequences import SequenceVDSM


def inferred(net, video: torch.Tensor) -> torch.Tensor:
    """The location of q(s | x) in the guide."""
    return poutine.trace(net.guide).get_trace(video).nodes["s"]["fn"].base_dist.loc


def test_s_of_the_first_half_draws_all_frames_and_only_in_training(sizes, video):
    half, paper = (VDSMPretrain(sizes, identity_from_half=on).net for on in (True, False))
    paper.load_state_dict(half.state_dict())
    other = torch.cat([video[:, :2], torch.rand_like(video[:, 2:])], dim=1)
    torch.testing.assert_close(inferred(half, video), inferred(half, other))
    torch.testing.assert_close(inferred(half, video), paper.encoder(video[:, :2])[0].loc)
    assert not torch.allclose(inferred(paper, video), inferred(paper, other))
    drawn = poutine.trace(poutine.replay(half.model, trace=poutine.trace(half.guide).get_trace(video))).get_trace(video)
    assert drawn.nodes["x"]["value"].shape == video.shape
    assert inferred(half, video[:, :1]).isfinite().all()
    half.eval()
    torch.testing.assert_close(inferred(half, video), inferred(paper, video))


def test_a_checkpoint_remembers_what_s_is_inferred_from(sizes, tmp_path: Path):
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(VDSMPretrain(sizes, identity_from_half=True))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert VDSMPretrain.load_from_checkpoint(tmp_path / "a.ckpt").net.identity_from_half


def test_a_network_between_s_and_the_experts_begins_as_the_paper_has_it(sizes):
    net = VDSMPretrain(replace(sizes, mixture_dim=6)).net
    net.tau_s.fill_(3.0)
    s = torch.randn(5, sizes.kappa_s)
    torch.testing.assert_close(net.mixture(s), torch.softmax(3 * s, dim=-1))


def test_a_network_between_s_and_the_experts_is_in_what_is_drawn_and_is_trained(sizes, video):
    torch.manual_seed(0)
    model = VDSMPretrain(replace(sizes, mixture_dim=6))
    net = model.net
    nn.init.normal_(net.mixture_logits.further[-1].weight)
    elbo = evaluate(net.model, net.guide, video)
    z = elbo.latents["z"].transpose(0, 1)
    wanted = frame_terms(net, video, s=elbo.latents["s"], z=z)
    torch.testing.assert_close(elbo.terms["reconstruction"], wanted["reconstruction"], rtol=1e-4, atol=1e-3)
    elbo.terms["reconstruction"].backward()
    assert all(each.grad.abs().sum() > 0 for each in net.mixture_logits.parameters())


def test_d_is_inferred_from_a_drawing_of_nobody(sizes, video):
    torch.manual_seed(0)
    net, seen = VDSMSequence(replace(sizes, anonymous_dynamics=True)).net, []
    net.frames.tau_s.fill_(3.0)
    net.dynamics_encoder.register_forward_pre_hook(lambda _, poses: seen.append(*poses))
    _, poses = net.frames.encoder(video)
    nobody = torch.zeros(len(video), sizes.kappa_s)
    _, wanted = net.frames.encoder(net.frames.decode(poses.loc, nobody))
    assert not torch.allclose(wanted.loc, poses.loc)
    for training in (True, False):
        net.train(training)
        net.guide(video)
        torch.testing.assert_close(seen.pop(), wanted.loc)
    net.encode(video)
    d = net.dynamics(video)
    for each in seen:
        torch.testing.assert_close(each, wanted.loc)
    torch.testing.assert_close(d, net.encode(video).d)
    plain = VDSMSequence(sizes).net
    plain.dynamics_encoder.register_forward_pre_hook(lambda _, poses: seen.append(*poses))
    plain.encode(video)
    assert torch.equal(seen[-1], plain.frames.encoder(video)[1].loc)


@pytest.fixture
def conditioned(sizes) -> SequenceVDSM:
    torch.manual_seed(2)
    net = SequenceVDSM(replace(sizes, first_pose_from_d=True))
    net.frames.tau_s.fill_(3.0)
    return net


def test_first_pose_begins_as_standard_normal(conditioned):
    p = conditioned.prior_z_1(torch.randn(4, 5))
    torch.testing.assert_close(p.loc, torch.zeros(4, 3))
    torch.testing.assert_close(p.scale, torch.ones(4, 3), rtol=0, atol=2e-4)


def test_first_pose_is_weighed_against_d_and_drawn_from_it(conditioned, video):
    nn.init.normal_(conditioned.first_pose.head.weight)
    elbo = evaluate(conditioned.model, conditioned.guide, video)
    z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, 5)], dim=1)
    given = {"s": elbo.latents["s"], "d": elbo.latents["d"], "z": z}
    for name, value in sequence_terms(conditioned, video, **given).items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-4, atol=1e-3)
    conditioned.first_pose = None
    assert not torch.isclose(elbo.terms["kl_z"], sequence_terms(conditioned, video, **given)["kl_z"], rtol=1e-2)


def test_samples_begin_where_d_says(conditioned):
    nn.init.constant_(conditioned.first_pose.head.bias, -20.0)
    drawn = conditioned.sample_poses(4, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn[:, 0], torch.full((4, 3), -20.0), rtol=0, atol=0.01)


def test_first_pose_is_trained_in_the_second_stage(conditioned, video):
    ElboWeights().total(evaluate(conditioned.model, conditioned.guide, video).terms).backward()
    assert (conditioned.first_pose.head.weight.grad != 0).any()


@pytest.fixture
def remembering(sizes) -> SequenceVDSM:
    torch.manual_seed(2)
    net = SequenceVDSM(replace(sizes, transition_memory=6))
    net.frames.tau_s.fill_(3.0)
    return net


def test_a_transition_that_remembers_is_weighed_against_all_poses_before(remembering, video):
    elbo = evaluate(remembering.model, remembering.guide, video)
    z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, 5)], dim=1)
    given = {"s": elbo.latents["s"], "d": elbo.latents["d"], "z": z}
    for name, value in sequence_terms(remembering, video, **given).items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-4, atol=1e-3)
    ElboWeights().total(elbo.terms).backward()
    for each in remembering.transition.memory.parameters():
        assert (each.grad != 0).any()


def test_a_rollout_by_a_transition_that_remembers_goes_on_from_all_poses_before(remembering):
    d = torch.randn(2, 5)
    z = remembering.rollout(d, steps=4, dynamics="prior")
    torch.testing.assert_close(z[:, 0], remembering.follow(d, steps=1)[:, 0])
    for clip in range(2):
        for t in range(1, 4):
            torch.testing.assert_close(z[clip, t], following_pose(remembering, z[clip, :t], d[clip])[0])


def test_d_of_the_first_half_unfolds_into_all_frames_and_only_in_training(sizes, video):
    half, paper = (VDSMSequence(sizes, dynamics_from_half=on).net for on in (True, False))
    paper.load_state_dict(half.state_dict())
    other = torch.cat([video[:, :2], torch.rand_like(video[:, 2:])], dim=1)

    def d_of(net, clips: torch.Tensor) -> torch.Tensor:
        return poutine.trace(net.guide).get_trace(clips).nodes["d"]["fn"].base_dist.loc

    torch.testing.assert_close(d_of(half, video), d_of(half, other))
    torch.testing.assert_close(d_of(half, video), paper.dynamics(video[:, :2]))
    assert not torch.allclose(d_of(paper, video), d_of(paper, other))
    elbo = evaluate(half.model, half.guide, video)
    assert [name for name in elbo.latents if name.startswith("z_")] == ["z_1", "z_2", "z_3", "z_4"]
    half.eval()
    torch.testing.assert_close(d_of(half, video), paper.dynamics(video))
    assert VDSMSequence(sizes, dynamics_from_half=True).hparams["dynamics_from_half"]


@pytest.mark.parametrize("memory", [0, 6])
def test_overshooting_compares_what_the_first_pose_leads_to_with_the_guide(sizes, video, memory):
    torch.manual_seed(2)
    model = VDSMSequence(replace(sizes, transition_memory=memory), overshooting=0.5)
    elbo = model.terms(video)
    d, wanted = elbo.latents["d"], torch.zeros(())
    path = model.net.advance(elbo.latents["z_1"], d, steps=4)
    for clip in range(3):
        for t in range(1, 4):
            q = elbo.posteriors[f"z_{t + 1}"].base_dist
            p = following_pose(model.net, path[clip, :t], d[clip])
            wanted = wanted + kl_normal((q.loc[clip], q.scale[clip]), p) / 3
    torch.testing.assert_close(elbo.terms["overshoot"], wanted, rtol=1e-4, atol=1e-3)
    plain = {name: term for name, term in elbo.terms.items() if name != "overshoot"}
    torch.testing.assert_close(model.total(elbo.terms), sum(plain.values()) + 0.5 * wanted, rtol=1e-4, atol=1e-3)
    elbo.terms["overshoot"].backward()
    assert (model.net.transition.keep.weight.grad != 0).any()
    assert model.net.combiner.head.weight.grad is not None  # by z_1 alone
    assert "overshoot" not in VDSMSequence(sizes).terms(video).terms


def test_overshooting_leaves_the_guide_where_it_is(sizes, video):
    torch.manual_seed(2)
    model = VDSMSequence(sizes, overshooting=0.5)
    elbo = model.terms(video)
    at = elbo.posteriors["z_4"].base_dist.loc
    grad = torch.autograd.grad(elbo.terms["overshoot"], at, allow_unused=True)
    assert grad == (None,)


@pytest.fixture
def of_motions(sizes) -> SequenceVDSM:
    return SequenceVDSM(replace(sizes, motions=4))


def two_motions(count: int, size: int, *, spread: float = 0.1) -> torch.Tensor:
    """d (count, size) around -3, or every third around 5."""
    where = torch.where(torch.arange(count) % 3 == 0, 5.0, -3.0)
    return where[:, None] + spread * torch.randn(count, size, generator=torch.Generator().manual_seed(0))


def test_a_mixture_of_motions_begins_as_the_papers_prior(of_motions, sizes, video):
    assert SequenceVDSM(sizes).motions is None
    torch.manual_seed(0)
    elbo = evaluate(of_motions.model, of_motions.guide, video)
    d = elbo.latents["d"]
    q, p = elbo.posteriors["d"], of_motions.standard_d(video).distribution()
    torch.testing.assert_close(elbo.terms["kl_d"], (q.log_prob(d) - p.log_prob(d)).mean())


def test_d_is_weighed_against_the_mixture_of_motions(of_motions, sizes, video):
    of_motions.motions.refit(two_motions(200, sizes.kappa_d, spread=1.5))
    assert (of_motions.motions.shares > 0).sum() > 1
    elbo = evaluate(of_motions.model, of_motions.guide, video)
    z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, 5)], dim=1)
    given = {"s": elbo.latents["s"], "d": elbo.latents["d"], "z": z}
    for name, value in sequence_terms(of_motions, video, **given).items():
        torch.testing.assert_close(elbo.terms[name], value, rtol=1e-3, atol=1e-3)


def test_motions_are_drawn_as_often_as_clips_show_them(of_motions, sizes):
    of_motions.motions.refit(two_motions(300, sizes.kappa_d))
    taken = []
    of_motions.transition.register_forward_pre_hook(lambda _, given: taken.append(given[1]))
    of_motions.sample_poses(2000, 2, torch.Generator().manual_seed(1))
    (d,) = taken
    first = d.mean(dim=1) > 0
    torch.testing.assert_close(d[first].mean(dim=0), torch.full((sizes.kappa_d,), 5.0), rtol=0, atol=0.1)
    torch.testing.assert_close(d[~first].mean(dim=0), torch.full((sizes.kappa_d,), -3.0), rtol=0, atol=0.1)
    assert first.float().mean().item() == pytest.approx(1 / 3, abs=0.04)
    of_motions.motions.refit(two_motions(30, sizes.kappa_d)[1:3])  # what was there before is forgotten
    assert of_motions.motions.shares.tolist() == [1, 0, 0, 0]


def test_motions_are_fitted_to_the_epoch_and_no_other(sizes, video):
    model = VDSMSequence(replace(sizes, motions=4))
    fitted = []
    model.all_gather = lambda each: each  # pyright: ignore[reportAttributeAccessIssue]
    model.net.motions.refit = fitted.append  # pyright: ignore[reportAttributeAccessIssue]
    for batches in (3, 2):
        wanted = [model.terms(video).latents["d"] for _ in range(batches)]
        checkpoint = {}
        model.on_save_checkpoint(checkpoint)
        model.on_load_checkpoint(checkpoint)  # as a run does that goes on in mid-epoch
        resumed = VDSMSequence(model.net.sizes)
        resumed.on_load_checkpoint(checkpoint)
        torch.testing.assert_close([*resumed.recent], [*model.recent])
        model.on_train_epoch_end()
        torch.testing.assert_close(fitted[-1], torch.cat(wanted).detach())
    model.on_train_epoch_end()
    assert len(fitted) == 2, "an epoch without a step leaves p(d) as it is"
    VDSMSequence(sizes).on_train_epoch_end()


@pytest.mark.parametrize(("optimizer", "expected"), [("adam", torch.optim.Adam), ("muon", Muon)])
def test_the_optimiser_is_the_one_that_is_asked_for(sizes, optimizer, expected):
    for model in (VDSMPretrain(sizes, optimizer=optimizer), VDSMSequence(sizes, optimizer=optimizer)):
        assert type(model.configure_optimizers()) is expected
        assert model.hparams["optimizer"] == optimizer
    assert type(VDSMPretrain(sizes).configure_optimizers()) is torch.optim.Adam


def test_the_rate_follows_from_the_step_alone(sizes):
    """So a run that began without the option can go on with it."""
    model = VDSMPretrain(sizes, learning_rate=0.01, learning_rate_decay=(3, 5))
    optimizer = model.configure_optimizers()
    rates = []
    for step in (2, 3, 4, 5, 6):
        model._trainer = SimpleNamespace(global_step=step, optimizers=[optimizer])  # pyright: ignore[reportAttributeAccessIssue]
        model.on_train_batch_start(None, 0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.01, 0.0051, 0.0002, 0.0002])

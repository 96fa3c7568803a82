"""The part of stage 1 in which q(s) is learned by telling clips apart, and is fixed from then on."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.vdsm import VDSMPretrain
from vdsm_glass.vdsm.contrast import Contrast, IdentityContrast, one_frame, told_apart
from vdsm_glass.vdsm.densities import Encoder

BEFORE = Contrast(steps=4, learning_rate=0.1, width=1.5, drawn=1)
CLIPS = 12


@pytest.fixture
def apart(sizes):
    """Sizes with convolutions for s alone."""
    return replace(sizes, identity_encoder=True)


@pytest.fixture
def clips(video):
    """Enough clips to tell apart by the numbers of s."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(CLIPS, *video.shape[1:], generator=generator)


def at_step(model: VDSMPretrain, step: int) -> VDSMPretrain:
    """The model as a trainer has it at an optimiser step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model._trainer = SimpleNamespace(  # pyright: ignore[reportAttributeAccessIssue]
        global_step=step, optimizers=[optimizer], strategy=SimpleNamespace(reduce=lambda tensor: tensor)
    )
    model.log = model.log_dict = lambda *_, **__: None  # pyright: ignore[reportAttributeAccessIssue]
    model.on_train_batch_start()
    return model.train()


def test_s_has_convolutions_of_its_own(apart, video):
    encoder = Encoder(apart)
    s, z = encoder(video)
    torch.testing.assert_close(encoder.identity_of(video).loc, s.loc)
    for part, moved in ((encoder.convolutions, "z"), (encoder.identity_convolutions, "s")):
        assert part is not None
        with torch.no_grad():
            part[0].bias += 1  # pyright: ignore[reportOperatorIssue]
        new_s, new_z = encoder(video)
        assert torch.equal(new_s.loc, s.loc) == (moved == "z")
        assert torch.equal(new_z.loc, z.loc) == (moved == "s")
        s, z = new_s, new_z


def test_without_them_all_is_as_in_the_paper(sizes, video):
    encoder = Encoder(sizes)
    assert encoder.identity_convolutions is None
    assert not [name for name in encoder.state_dict() if name.startswith("identity_convolutions")]
    torch.testing.assert_close(encoder.identity_of(video[:, :2]).loc, encoder(video, identity_frames=2)[0].loc)


def test_s_of_some_frames_looks_at_no_other(apart, video):
    encoder = Encoder(apart)
    other = torch.cat([video[:, :2], torch.rand_like(video[:, 2:])], dim=1)
    of_both = [encoder(each, identity_frames=2)[0].loc for each in (video, other)]
    assert torch.equal(*of_both)


def test_told_by_hand():
    torch.manual_seed(0)
    # Uncorrelated and of variance 1 already: the corners of a square, each seen twice.
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    closeness = torch.exp(-torch.cdist(corners, corners).square() / (2 * 1.5**2))
    wanted = -(closeness.diagonal() / closeness.sum(dim=1)).log().mean()
    assert float(told_apart(corners, corners, width=1.5)) == pytest.approx(float(wanted), rel=1e-3)
    assert float(told_apart(corners, corners.roll(1, dims=0), width=0.5)) > 4
    assert float(told_apart(corners, -corners, width=1000.0)) == pytest.approx(math.log(4), abs=1e-3)


def test_told_does_not_depend_on_how_s_lies():
    torch.manual_seed(1)
    one = torch.randn(20, 3)
    other = one + 0.1 * torch.randn(20, 3)
    turn = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.2, 1.0], [1.0, 0.0, 1.0]])
    plain, turned = (told_apart(one @ m + 5, other @ m + 5, width=2.0) for m in (torch.eye(3), turn))
    assert float(turned) == pytest.approx(float(plain), rel=1e-2)


def test_both_ways_count():
    torch.manual_seed(2)
    one, other = torch.randn(2, 9, 2).unbind()
    assert float(told_apart(one, other, width=1.0)) == pytest.approx(float(told_apart(other, one, width=1.0)), rel=1e-4)


def test_clips_of_one_identity_need_not_be_told_apart():
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    closeness = torch.exp(-torch.cdist(corners, corners).square() / 2)
    for identity, hidden in (([7, 7, 3, 4], ((0, 1), (1, 0))), ([-1, -1, 3, 4], ())):
        left = closeness.clone()
        for pair in hidden:
            left[pair] = 0
        wanted = -(left.diagonal() / left.sum(dim=1)).log().mean()
        told = told_apart(corners, corners, width=1.0, identity=torch.tensor(identity))
        assert float(told) == pytest.approx(float(wanted), rel=1e-3)


def test_each_half_gives_a_frame_by_chance():
    torch.manual_seed(0)
    video = torch.arange(40.0).view(2, 20, 1, 1, 1).expand(-1, -1, 3, 4, 4)
    seen = torch.cat([one_frame(video) for _ in range(200)], dim=1)[..., 0, 0, 0]
    assert set(seen[0].tolist()) == set(range(20))
    assert set(seen[1].tolist()) == set(range(20, 40))


def test_too_few_clips_to_tell_apart_are_named(apart, clips):
    model = at_step(VDSMPretrain(apart, contrast=BEFORE), 0)
    few = VideoBatch.unlabelled(clips[: apart.kappa_s])
    with pytest.raises(UserError, match=rf"batch_size, now {apart.kappa_s}, to at least {4 * apart.kappa_s}"):
        model.training_step(few)


def test_the_terms_look_at_both_halves(apart, clips):
    net = VDSMPretrain(apart).net
    contrast = IdentityContrast(BEFORE, net)

    def told(video):
        torch.manual_seed(0)
        return contrast.terms(net, video)["told"].item()

    still = clips[:, :1].expand(-1, 4, -1, -1, -1)
    assert told(still) < told(torch.cat([still[:, :2], still[:, 2:].roll(1, dims=0)], dim=1)) - 0.5


def test_moments_are_means_over_recent_steps(apart):
    contrast = IdentityContrast(BEFORE, VDSMPretrain(apart).net)
    torch.manual_seed(0)
    one, other = torch.randn(2, 500, apart.kappa_s).unbind()
    contrast.remember(one + 1, other + 1)
    both = torch.cat([one, other]) + 1
    torch.testing.assert_close(contrast.mean, both.mean(dim=0))
    torch.testing.assert_close(contrast.covariance, torch.cov(both.T, correction=0))
    torch.testing.assert_close(contrast.within, (one - other).T @ (one - other) / 1000)
    contrast.remember(one + 2, other + 2)
    torch.testing.assert_close(contrast.mean, both.mean(dim=0) + 0.5)
    for _ in range(300):
        contrast.remember(one + 3, other + 3)
    torch.testing.assert_close(contrast.mean, both.mean(dim=0) + 2, atol=0.01, rtol=0)


def test_in_the_end_s_lies_as_the_prior_does(apart, clips):
    torch.manual_seed(0)
    model = VDSMPretrain(apart, contrast=BEFORE)
    net, contrast = model.net, model.contrast
    assert contrast is not None
    one, other = (net.encoder.identity_of(clips[:, each : each + 1]).loc.detach() for each in (0, 1))
    contrast.remember(one, other)
    contrast.settle(net, contrast.mean, contrast.covariance, contrast.within)
    assert contrast.settled
    q_one, q_other = (net.encoder.identity_of(clips[:, each : each + 1]) for each in (0, 1))
    both = torch.cat([q_one.loc, q_other.loc])
    torch.testing.assert_close(both.mean(dim=0), torch.zeros(apart.kappa_s), atol=5e-3, rtol=0)
    variance = torch.cov(both.T, correction=0).diagonal().mean()
    assert variance.sqrt().item() == pytest.approx(1 / apart.kappa_s, rel=0.1)
    apart_by = ((q_one.loc - q_other.loc).square().mean(dim=0) / 2).sqrt()
    torch.testing.assert_close(q_one.scale, apart_by.expand(CLIPS, -1), rtol=1e-2, atol=1e-4)


def test_at_first_only_s_is_learned_and_then_all_but_s(apart, clips):
    model = VDSMPretrain(apart, contrast=BEFORE)
    of_s = {"identity", "identity_loc", "identity_convolutions"}

    def moved(step: int) -> set[str]:
        model.zero_grad()
        at_step(model, step).training_step(VideoBatch.unlabelled(clips)).backward()
        return {
            ".".join(name.split(".")[1:3]) if "encoder" in name else "decoder"
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and parameter.grad.any()
        }

    assert moved(3) == {f"encoder.{part}" for part in of_s}
    assert model.last_terms.keys() == {"told"}
    assert moved(4) == {"encoder.convolutions", "encoder.pose", "decoder"}
    assert model.contrast is not None
    assert model.contrast.settled


def test_s_is_put_in_its_place_once(apart, clips):
    model = VDSMPretrain(apart, contrast=BEFORE)
    at_step(model, 3).training_step(VideoBatch.unlabelled(clips))
    at_step(model, 4)
    place = model.net.encoder.identity_loc.weight.clone()
    at_step(model, 4)
    at_step(model, 5)
    assert torch.equal(model.net.encoder.identity_loc.weight, place)


def test_the_rates_of_both_parts(apart):
    model = VDSMPretrain(apart, contrast=BEFORE, learning_rate=0.7)
    rates = [at_step(model, step).trainer.optimizers[0].param_groups[0]["lr"] for step in (0, 2, 3)]
    assert rates == pytest.approx([0.1, 0.1, 0.05])
    model.contrast.settled.fill_(True)  # pyright: ignore[reportOptionalMemberAccess]
    assert at_step(model, 4).trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.7)


def test_afterwards_the_first_clips_are_drawn(apart, clips):
    model = VDSMPretrain(apart, contrast=BEFORE)
    at_step(model, 3).training_step(VideoBatch.unlabelled(clips))
    assert model.clips_used is None
    at_step(model, 4)
    assert model.clips_used == 1
    model.eval()
    assert model.clips_used is None
    assert at_step(VDSMPretrain(apart), 4).clips_used is None


def test_s_that_shares_its_convolutions_cannot_be_fixed(sizes, apart):
    with pytest.raises(UserError, match=r"set model\.init_args\.sizes\.identity_encoder to true"):
        VDSMPretrain(sizes, contrast=BEFORE)
    assert VDSMPretrain(apart, contrast=BEFORE).needs_unused_parameters
    assert not VDSMPretrain(apart).needs_unused_parameters

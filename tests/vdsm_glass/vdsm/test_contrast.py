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
from vdsm_glass.vdsm.contrast import Contrast, contrast_terms, one_frame, told
from vdsm_glass.vdsm.densities import Encoder, NormalParameters

BEFORE = Contrast(steps=3, told=2.0, kl_s=0.5, drawn=1)


@pytest.fixture
def apart(sizes):
    """Sizes with convolutions for s alone."""
    return replace(sizes, identity_encoder=True)


def at_step(model: VDSMPretrain, step: int) -> VDSMPretrain:
    """The model as a trainer has it at an optimiser step."""
    model._trainer = SimpleNamespace(global_step=step, optimizers=[])  # pyright: ignore[reportAttributeAccessIssue]
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
            part[0].bias += 1
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
    loc = torch.tensor([[0.0], [4.0], [8.0]])
    sharp = NormalParameters(loc, torch.full((3, 1), 1e-4))
    wide = NormalParameters(loc, torch.full((3, 1), 2.0))
    shares = torch.exp(-0.5 * (loc - loc.T).square() / 4)
    wanted = -(shares.diagonal() / shares.sum(dim=1)).log().mean()
    assert float(told(sharp, wide)) == pytest.approx(float(wanted), abs=1e-3)
    assert told(sharp, sharp) < 1e-6
    same = NormalParameters(torch.zeros(3, 1), torch.ones(3, 1))
    assert float(told(same, same)) == pytest.approx(math.log(3), abs=1e-6)


def test_each_half_gives_a_frame_by_chance():
    torch.manual_seed(0)
    video = torch.arange(40.0).view(2, 20, 1, 1, 1).expand(-1, -1, 3, 4, 4)
    seen = torch.cat([one_frame(video) for _ in range(200)], dim=1)[..., 0, 0, 0]
    assert set(seen[0].tolist()) == set(range(20))
    assert set(seen[1].tolist()) == set(range(20, 40))


def test_the_terms_look_at_both_halves(apart, video):
    torch.manual_seed(0)
    net = VDSMPretrain(apart).net
    first, second = net.encoder.identity_of(video[:1, :1]), net.encoder.identity_of(video[1:2, :1])
    clip = torch.cat([video[:1, :1].expand(-1, 2, -1, -1, -1), video[1:2, :1].expand(-1, 2, -1, -1, -1)], dim=1)
    terms = contrast_terms(net, clip.expand(3, -1, -1, -1, -1))
    # Three clips that are alike: s of any is as likely under each.
    assert terms["told"].item() == pytest.approx(math.log(3), abs=1e-5)
    prior = net.prior_s(clip).distribution()
    kl_first, kl_second = (torch.distributions.kl_divergence(q.distribution(), prior).item() for q in (first, second))
    assert kl_first != kl_second
    assert terms["kl_s"].item() == pytest.approx(kl_first, rel=1e-5)
    other_ends = torch.cat([clip[:, :2].expand(3, -1, -1, -1, -1), video[:, 2:]], dim=1)
    assert contrast_terms(net, other_ends)["told"].item() != pytest.approx(math.log(3), abs=1e-5)


def test_at_first_only_s_is_learned_and_then_all_but_s(apart, video):
    model = VDSMPretrain(apart, contrast=BEFORE)
    of_s = {"identity", "identity_loc", "identity_scale", "identity_convolutions"}

    def moved(step: int) -> set[str]:
        model.zero_grad()
        at_step(model, step).training_step(VideoBatch.unlabelled(video)).backward()
        return {
            ".".join(name.split(".")[1:3]) if "encoder" in name else "decoder"
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and parameter.grad.any()
        }

    assert moved(2) == {f"encoder.{part}" for part in of_s}
    assert model.last_terms.keys() == {"told", "kl_s"}
    assert moved(3) == {"encoder.convolutions", "encoder.pose", "decoder"}
    # Going back, as a run that is begun anew does.
    assert moved(0) == {f"encoder.{part}" for part in of_s}


def test_afterwards_the_first_clips_are_drawn(apart, video):
    model = at_step(VDSMPretrain(apart, contrast=BEFORE), 3)
    seen = []
    model.terms = lambda clips: seen.append(clips) or VDSMPretrain.terms(model, clips)  # pyright: ignore[reportAttributeAccessIssue]
    model.training_step(VideoBatch.unlabelled(video))
    assert torch.equal(seen[0], video[:1])


def test_weights_of_both_terms():
    terms = {"told": torch.tensor(3.0), "kl_s": torch.tensor(10.0)}
    assert BEFORE.total(terms) == 11
    assert Contrast().steps == 0


def test_s_that_shares_its_convolutions_cannot_be_fixed(sizes, apart):
    with pytest.raises(UserError, match=r"set model\.init_args\.sizes\.identity_encoder to true"):
        VDSMPretrain(sizes, contrast=BEFORE)
    assert VDSMPretrain(apart, contrast=BEFORE).needs_unused_parameters
    assert not VDSMPretrain(apart).needs_unused_parameters

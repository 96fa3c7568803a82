"""Masks and shifts that start from the difference to a fixed ground."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from data_modules.batch import VideoBatch
from tests.vdsm_glass.glass.small import NARROW, small_sizes
from tests.vdsm_glass.learn.drawn import draw
from vdsm_glass.glass.difference import Differing, Ground, blobs, difference
from vdsm_glass.glass.gma import Layers
from vdsm_glass.glass.loss_weights import LossWeights
from vdsm_glass.glass.losses import difference_terms, hidden_loss
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.layers.shift import to_pixels


def test_the_agent_of_a_drawn_video_is_found():
    drawn = draw(frames=60, height=64, width=96)
    ground = Ground(np.median(drawn.video, axis=0)[None].astype(np.uint8), threshold=20, theta=float(drawn.mask.mean()))
    video = torch.from_numpy(drawn.video[10:20].transpose(0, 3, 1, 2).copy()).float()[None] / 127.5 - 1
    found = ground.seen_in(video, torch.zeros(1, dtype=torch.int64))
    assert found.known.all()
    true = drawn.mask[10:20]
    mask = found.mask[0, :, 0].numpy() > 0.5
    assert (mask & true).sum() / (mask | true).sum() > 0.7
    way = np.diff(drawn.places[0, 10:20].round(), axis=0)
    error = to_pixels(found.shift[0], height=64, width=96).numpy() - way
    assert np.abs(error).mean() < 0.8
    assert np.abs(error.sum(axis=0)).max() < 2.5
    assert np.abs(way.sum(axis=0)).max() > 10


def test_clips_have_grounds_of_their_own():
    pictures = np.stack([np.full((16, 16, 3), level, np.uint8) for level in (0, 200)])
    pictures[0, 4:8, 4:8] = 255
    pictures[1, 9:12, 9:12] = 0
    video = torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float()[:, None] / 127.5 - 1
    ground = Ground(pictures, threshold=20, theta=0.06)
    assert not ground.seen_in(video, torch.tensor([0, 1])).known.any()
    assert ground.seen_in(video, torch.tensor([1, 0])).known.all()


def test_light_is_taken_out_and_noise_is_averaged():
    ground = np.full((20, 20, 3), 100, np.uint8)
    frames = np.stack([ground + 30, ground])
    frames[1, 5, 5] += 90
    found = difference(frames, ground)
    assert found[0].max() == 0
    assert found[1].max() == pytest.approx(10)


def test_parts_near_each_other_are_one():
    mask = np.zeros((40, 40), bool)
    mask[2:6, 2:6] = mask[2:6, 7:10] = mask[30:34, 30:34] = True
    mask[20, 20] = True
    found = sorted(blobs(mask, least=6), key=lambda blob: -blob.area)
    assert [(blob.area, blob.box) for blob in found] == [(28, (2, 2, 10, 6)), (16, (30, 30, 34, 34))]
    assert found[1].middle == (31.5, 31.5)


def test_the_terms_are_means_where_something_is_known():
    m = torch.full((1, 2, 1, 2, 2), 0.5)
    target = torch.zeros(1, 2, 1, 2, 2)
    known = torch.tensor([[1.0, 0.0]])
    far = Differing(mask=target, shift=torch.full((1, 1, 2), 3.0), known=known)
    terms = difference_terms(m, torch.zeros(1, 1, 2), far)
    assert terms["difference_mask"].item() == pytest.approx(math.log(2))
    assert terms["difference_shift"] == 0, "one of the two frames has no agent"
    target = target.clone()
    target[:, :, :, 0, 0] = 1.0
    quarter = Differing(mask=target, shift=torch.zeros(1, 1, 2), known=torch.ones(1, 2))
    assert difference_terms(m, torch.zeros(1, 1, 2), quarter)["difference_mask"].item() == pytest.approx(
        (2 * 1 + 3) / 4 * math.log(2)
    )
    both = Differing(mask=target, shift=torch.tensor([[[3.0, -1.0]]]), known=torch.ones(1, 2))
    assert difference_terms(m, torch.zeros(1, 1, 2), both)["difference_shift"] == 4


def test_what_is_behind_is_the_ground_of_the_clip_in_the_light_of_the_frame():
    pictures = np.stack([np.full((18, 18, 3), level, np.uint8) for level in (0, 100)])
    video = torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float()[[1, 0], None].repeat(1, 2, 1, 1, 1)
    lit = video.clone()
    lit[:, 1] += torch.tensor([10.0, 0.0, 20.0])[:, None, None]
    shown = lit.clone()
    shown[..., 3:9, 3:9] = 255
    ground = Ground(pictures, threshold=20, theta=0.1).behind(shown / 127.5 - 1, torch.tensor([1, 0]))
    torch.testing.assert_close((ground + 1) * 127.5, lit)


def test_what_the_mask_hides_is_compared_with_the_ground():
    m = torch.tensor([[1.0, 0.5], [0.0, 0.0]]).view(1, 1, 1, 2, 2).requires_grad_()
    painted = torch.zeros(1, 1, 3, 2, 2).requires_grad_()
    ground = torch.tensor([[0.3, -0.6], [1.0, 1.0]]).expand(1, 1, 3, 2, 2)
    loss = hidden_loss(Layers(m=m, f=painted, b_hat=painted), ground)
    assert loss.item() == pytest.approx((1 * 0.3 + 0.5 * 0.6) / 1.5)
    loss.backward()
    assert m.grad is None, "masks must not shrink to hide less"
    assert painted.grad is not None
    assert LossWeights().ground == 0


def test_the_weight_is_scheduled_and_off_by_default():
    assert LossWeights().difference == 0
    weights = LossWeights(difference=0.5).of_terms
    assert weights["difference_mask"] == weights["difference_shift"] == 0.5
    module = GLASSModule(perceptual="none")
    module.schedule(difference=0.25, bin=2.0)
    assert (module.weights.difference, module.weights.bin) == (0.25, 2.0)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, True), (0.0, False)])
def test_training_has_the_terms_if_they_have_a_weight(weight: float, expected: bool, monkeypatch: pytest.MonkeyPatch):
    module = GLASSModule(gma=NARROW, lma=small_sizes(), perceptual="none", theta=0.1, gma_steps=10)
    module.schedule(difference=weight)
    module.weights = replace(module.weights, ground=weight)
    module.ground = Ground(np.zeros((1, 32, 48, 3), np.uint8), threshold=20, theta=0.1)
    module._trainer = SimpleNamespace(global_step=0)  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr(module, "log_terms", lambda *_, **__: None)
    video = torch.zeros(2, 3, 3, 32, 48)
    video[..., 8:16, 8:20] = 1.0
    module.training_step(VideoBatch.unlabelled(video))
    for term in ("difference_mask", "difference_shift", "ground"):
        assert (term in module.last_terms) == expected

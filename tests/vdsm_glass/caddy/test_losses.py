"""CADDY's terms against sums, libraries and integrals written out."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from tests.vdsm_glass.caddy.small import small_net
from vdsm_glass.caddy.action import Gaussian
from vdsm_glass.caddy.losses import LossWeights, caddy_terms, gaussian_kl, mutual_information


def test_information_of_hard_actions_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    a, again = torch.randint(4, (2, 6, 10), generator=generator)
    one_hot = [F.one_hot(torch.cat(each), num_classes=4).double() for each in ((a, again), (again, a))]
    found = mutual_information(*one_hot)
    wanted = mutual_info_score(torch.cat([a, again]).flatten(), torch.cat([again, a]).flatten())
    assert found.item() == pytest.approx(wanted, abs=1e-6)


def test_information_of_soft_actions_is_its_sum_written_out():
    p, q = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double().softmax(dim=-1)
    joint = torch.zeros(5, 5, dtype=torch.float64)
    for b in range(3):
        for t in range(4):
            for i in range(5):
                for j in range(5):
                    joint[i, j] += (p[b, t, i] * q[b, t, j] + p[b, t, j] * q[b, t, i]) / 24
    rows = joint.sum(dim=1)
    wanted = sum(joint[i, j] * math.log(joint[i, j] / (rows[i] * rows[j])) for i in range(5) for j in range(5))
    assert mutual_information(p, q).item() == pytest.approx(float(wanted))


def test_information_is_log_k_of_even_actions_and_nothing_of_one():
    even = F.one_hot(torch.arange(8).reshape(2, 4) % 4, num_classes=4).float()
    assert mutual_information(even, even).item() == pytest.approx(math.log(4), abs=1e-5)
    one = F.one_hot(torch.zeros(2, 4, dtype=torch.int64), num_classes=4).float()
    assert mutual_information(one, one).item() == pytest.approx(0, abs=1e-6)
    assert mutual_information(even, torch.full_like(even, 0.25)).item() == pytest.approx(0, abs=1e-5)


def test_kl_is_torchs():
    means, scales = torch.randn(2, 2, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    q, p = (Gaussian(mean, scale) for mean, scale in zip(means, scales, strict=True))
    densities = [Normal(each.mean, (each.log_variance / 2).exp()) for each in (q, p)]
    torch.testing.assert_close(gaussian_kl(q, p), kl_divergence(*densities).sum(dim=-1).mean())


def test_terms_are_taken_of_real_and_drawn_frames():
    net = small_net()
    video = torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    played = net(video, T_f=1)
    weights = LossWeights(motion=1)
    perceptual = lambda drawn, target: (drawn - target).square().mean()  # noqa: E731
    terms = caddy_terms(video, played, weights=weights, perceptual=perceptual)
    rec, vgg = [], []
    for scale, drawn in zip((4, 2, 1), played.scales, strict=True):
        size = (32 // scale, 48 // scale)
        errors = []
        for b in range(2):
            wanted = F.interpolate(video[b, 1:], size=size, mode="bilinear", align_corners=False)
            errors.append(drawn[b] - wanted)
        rec.append(torch.stack(errors).abs().mean())
        vgg.append(torch.stack(errors).square().mean())
    torch.testing.assert_close(terms["rec"], torch.stack(rec).mean())
    torch.testing.assert_close(terms["vgg"], torch.stack(vgg).mean())
    again = net.A(net.encoded(torch.cat([video[:, :1], played.scales[-1]], dim=1)), temperature=1.0)
    real = net.A(net.encoded(video), temperature=1.0)
    information = mutual_information(real.logits.softmax(dim=-1), again.logits.softmax(dim=-1))
    torch.testing.assert_close(terms["mi"], -information)
    torch.testing.assert_close(terms["direction_kl"], gaussian_kl(again.directions, real.directions))
    e = real.states
    standard = 0.5 * (e.mean.square() + e.log_variance.exp() - e.log_variance - 1).sum(dim=-1).mean()
    torch.testing.assert_close(terms["state_kl"], standard)
    total = terms["rec"] + terms["vgg"] + 0.15 * terms["mi"] + 1e-4 * (terms["direction_kl"] + terms["state_kl"])
    torch.testing.assert_close(weights.total(terms), total + terms["motion"])
    left = caddy_terms(video, played, weights=LossWeights(mi=0), perceptual=None)
    assert left.keys() == {"rec", "direction_kl", "state_kl"}

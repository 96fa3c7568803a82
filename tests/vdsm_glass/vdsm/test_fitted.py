"""The density that takes the prior's place when clips are scored."""

from __future__ import annotations

import pytest
import torch

from vdsm_glass.vdsm.fitted import FittedPrior, Gaussian
from vdsm_glass.vdsm.frames import Latents

COUNT = 20_000


def correlated(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mixing + torch.arange(size)


@pytest.mark.parametrize("rank", [4, 2])
def test_draws_have_the_mean_and_covariance_of_what_was_fitted(rank: int):
    x = correlated(500, 4)
    x[:, rank:] = x[:, : 4 - rank]  # of rank 2 the covariance is singular
    drawn = Gaussian.fit(x).draw(COUNT, torch.Generator().manual_seed(1))
    spread = x.std(dim=0).max()
    # Means of 20 000 have a standard error of 0.007 spreads, covariances of at most 0.010 spreads².
    torch.testing.assert_close(drawn.mean(dim=0), x.mean(dim=0), rtol=0, atol=0.04 * spread.item())
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(x.T), rtol=0, atol=0.06 * spread.item() ** 2)


def test_identities_and_motions_are_those_of_the_latents(sequences):
    d, z_1 = correlated(300, 5), correlated(300, 3)
    z_1 = z_1 + d[:, :3]
    latents = Latents(s=correlated(300, 4), z=torch.stack([z_1, torch.zeros_like(z_1)], dim=1), d=d)
    prior = FittedPrior.of(sequences, latents)
    torch.testing.assert_close(prior.identity.mean, latents.s.mean(dim=0))
    with torch.no_grad():
        z = prior.sample_poses(COUNT, 3, torch.Generator().manual_seed(1))
    assert z.shape == (COUNT, 3, 3)
    torch.testing.assert_close(z[:, 0].mean(dim=0), z_1.mean(dim=0), rtol=0, atol=0.05 * z_1.std().item())
    # z_1 is drawn together with d, and the poses after it follow the transition.
    d_drawn, first = prior.motion.draw(COUNT, torch.Generator().manual_seed(1)).split([5, 3], dim=-1)
    torch.testing.assert_close(z[:, 0], first)
    joint = torch.cov(torch.cat([d_drawn, first], dim=1).T)
    torch.testing.assert_close(joint, torch.cov(torch.cat([d, z_1], dim=1).T), rtol=0, atol=0.06 * joint.max().item())
    p = sequences.transition(first, d_drawn)
    standard = (z[:, 1] - p.loc) / p.scale
    # Their standard error is 0.007.
    assert abs(standard.mean().item()) < 0.04
    assert standard.std().item() == pytest.approx(1, abs=0.04)


def test_before_stage_2_every_frame_is_drawn_alone(frames):
    z = correlated(900, 3)
    prior = FittedPrior.of(frames, Latents(s=correlated(300, 4), z=z.reshape(300, 3, 3)))
    drawn = prior.sample_poses(COUNT // 4, 4, torch.Generator().manual_seed(1))
    assert drawn.shape == (COUNT // 4, 4, 3)
    cov = torch.cov(z.T)
    torch.testing.assert_close(torch.cov(drawn.reshape(-1, 3).T), cov, rtol=0, atol=0.06 * cov.max().item())

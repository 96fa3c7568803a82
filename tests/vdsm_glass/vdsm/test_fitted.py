"""The density that takes the prior's place when clips are scored."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from data_modules.batch import VideoBatch
from vdsm_glass.checkpoints import CheckpointError
from vdsm_glass.vdsm.fitted import FittedPrior, Mixture
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
    drawn = Mixture.fit(x).draw(COUNT, torch.Generator().manual_seed(1))
    spread = x.std(dim=0).max()
    # Means of 20 000 have a standard error of 0.007 spreads, covariances of at most 0.010 spreads².
    torch.testing.assert_close(drawn.mean(dim=0), x.mean(dim=0), rtol=0, atol=0.04 * spread.item())
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(x.T), rtol=0, atol=0.06 * spread.item() ** 2)


def test_identities_and_motions_are_those_of_the_latents(sequences):
    d, z_1 = correlated(300, 5), correlated(300, 3)
    z_1 = z_1 + d[:, :3]
    latents = Latents(s=correlated(300, 4), z=torch.stack([z_1, torch.zeros_like(z_1)], dim=1), d=d)
    prior = FittedPrior.of(latents)
    mean = prior.identity.shares @ prior.identity.means
    torch.testing.assert_close(mean, latents.s.mean(dim=0), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        z = prior.sample_poses(sequences, COUNT, 3, torch.Generator().manual_seed(1))
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
    prior = FittedPrior.of(Latents(s=correlated(300, 4), z=z.reshape(300, 3, 3)))
    drawn = prior.sample_poses(frames, COUNT // 4, 4, torch.Generator().manual_seed(1))
    assert drawn.shape == (COUNT // 4, 4, 3)
    cov = torch.cov(z.T)
    torch.testing.assert_close(torch.cov(drawn.reshape(-1, 3).T), cov, rtol=0, atol=0.06 * cov.max().item())


def test_separate_groups_are_drawn_as_groups_and_one_group_as_one():
    centres = torch.tensor([[-5.0, 0.0, 1.0], [5.0, 0.0, 1.0], [0.0, 9.0, 1.0]])
    noise = 0.3 * torch.randn(800, 3, generator=torch.Generator().manual_seed(0))
    x = centres[torch.tensor([0, 0, 1, 2]).repeat(200)] + noise
    drawn = Mixture.fit(x).draw(COUNT, torch.Generator().manual_seed(1))
    distance, nearest = torch.cdist(drawn, centres).min(dim=1)
    # Of 20 000 none is further than 6 standard deviations with probability 0.999; one Gaussian would fill the middle.
    assert distance.max() < 6 * 0.3
    # Shares have standard errors of 0.0035.
    torch.testing.assert_close(
        nearest.bincount(minlength=3) / COUNT, torch.tensor([0.5, 0.25, 0.25]), rtol=0, atol=0.02
    )
    assert len(Mixture.fit(noise).shares) == 1


@pytest.mark.parametrize("count", [2, 5])
def test_clips_fewer_than_dimensions_and_clips_that_are_alike_have_a_density(count: int):
    x = correlated(count, 8)
    drawn = Mixture.fit(x).draw(COUNT, torch.Generator().manual_seed(1))
    assert drawn.isfinite().all()
    torch.testing.assert_close(drawn.mean(dim=0), x.mean(dim=0), rtol=0, atol=0.05 * x.std().item())
    alike = Mixture.fit(x[:1].repeat(count, 1)).draw(9, torch.Generator())
    torch.testing.assert_close(alike, x[:1].repeat(9, 1), rtol=0, atol=0.02)


@pytest.fixture
def fitted() -> FittedPrior:
    return FittedPrior.of(Latents(s=correlated(90, 4), z=correlated(90, 3)[:, None], d=correlated(90, 5)))


def test_its_tensors_are_all_of_it(sequences, fitted: FittedPrior):
    again = FittedPrior.from_tensors(fitted.tensors(), sequences)
    draws = [
        (prior.sample_identity(5, generator), prior.sample_poses(sequences, 5, 3, generator))
        for prior, generator in ((each, torch.Generator().manual_seed(2)) for each in (fitted, again))
    ]
    for one, other in zip(*draws, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("motion.root", lambda value: value[:3, :3], r"motion.root has shape \(3, 3\), expected \(8, 8\)"),
        ("identity.means", lambda value: value * float("nan"), "identity.means is not finite"),
        ("identity.shares", lambda value: value - 2, "shares do not sum to 1"),
        ("identity.shares", lambda value: value.repeat(2), "identity.means has shape"),
        ("identity.shares", None, "identity.shares is missing"),
        ("identity.colour", lambda _: torch.zeros(1), "identity.colour is not part of the model"),
    ],
)
def test_what_is_no_density_of_these_latents_is_named(sequences, fitted: FittedPrior, name: str, change, error: str):
    tensors = fitted.tensors()
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors.get(name))
    with pytest.raises(CheckpointError, match=f"does not fit this model: .*{error}"):
        FittedPrior.from_tensors(tensors, sequences)


def test_a_density_of_dynamics_does_not_fit_the_first_stage(frames, fitted: FittedPrior):
    with pytest.raises(CheckpointError, match=r"motion.means has shape \(\d+, 8\), expected \(\d+, 3\)"):
        FittedPrior.from_tensors(fitted.tensors(), frames)


def test_clips_are_spread_over_the_whole_training_split(sequences):
    asked: list[list[int]] = []

    class Clips:
        def __len__(self) -> int:
            return 11

        def __getitem__(self, rows: list[int]) -> VideoBatch:
            asked.append(rows)
            return VideoBatch.unlabelled(torch.rand(len(rows), 4, 3, 16, 16))

    class Data:
        def evaluation_dataset(self, split: str) -> Clips:
            assert split == "train"
            return Clips()

    data: Any = Data()
    FittedPrior.of_training_clips(sequences, data, most=4, batch_size=3)
    assert asked == [[0, 3, 7], [10]]
    asked.clear()
    FittedPrior.of_training_clips(sequences, data, most=2000, batch_size=11)
    assert asked == [list(range(11))]

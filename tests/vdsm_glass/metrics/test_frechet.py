"""Fréchet distances against closed forms, SciPy's square root, torchmetrics and torch-fidelity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from benchmarks.common import peak_memory
from data_modules.common.errors import UserError
from vdsm_glass.metrics.features import Extractor, random_frame_features, random_video_features
from vdsm_glass.metrics.frechet import FID, FVD, FrechetDistance, factor, frechet_distance, singular_value_sum

Gaussian = tuple[Tensor, Tensor]


def gaussian(*, samples: int, size: int, seed: int, decay: float = 0.0) -> Gaussian:
    """Mean and covariance of samples whose features have standard deviations 10^(-decay i / size)."""
    generator = torch.Generator().manual_seed(seed)
    scales = 10 ** (-decay * torch.arange(size, dtype=torch.float64) / size)
    mixing, _ = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))
    x = torch.randn(samples, size, dtype=torch.float64, generator=generator) * scales @ mixing + seed
    return x.mean(dim=0), torch.cov(x.T)


def by_scipy(first: Gaussian, second: Gaussian) -> float:
    """The definition, through the general matrix square root."""
    (mean1, cov1), (mean2, cov2) = first, second
    root = scipy.linalg.sqrtm((cov1 @ cov2).numpy())
    return float((mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * np.trace(root).real)


def test_diagonal_covariances_have_a_closed_form():
    variances, others = torch.tensor([1.0, 4.0, 0.0, 9.0]), torch.tensor([4.0, 1.0, 2.0, 9.0])
    means = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 3.0, 7.0]])
    wanted = (means[0] - means[1]).square().sum() + (variances.sqrt() - others.sqrt()).square().sum()
    found = frechet_distance(means[0], variances.diag(), means[1], others.diag())
    torch.testing.assert_close(found, wanted.double())


@pytest.mark.parametrize("decay", [0.0, 2.0])
def test_it_is_what_scipys_square_root_gives(decay: float):
    first = gaussian(samples=300, size=60, seed=1, decay=decay)
    second = gaussian(samples=400, size=60, seed=2, decay=decay)
    assert float(frechet_distance(*first, *second)) == pytest.approx(by_scipy(first, second), rel=1e-6)


@pytest.mark.parametrize("samples", [2, 20, 300])
@pytest.mark.parametrize("decay", [0.0, 4.0])
def test_identical_gaussians_are_at_distance_zero(samples: int, decay: float):
    first = gaussian(samples=samples, size=60, seed=1, decay=decay)
    assert abs(frechet_distance(*first, *first)) < 1e-12 * first[1].trace()


@pytest.mark.parametrize(("samples", "others"), [(20, 20), (5, 300), (300, 5), (2, 2)])
def test_fewer_samples_than_features_stay_real_finite_and_symmetric(samples: int, others: int):
    """Against |A - B R|² at its best R, for which only the thin factors are needed: orthogonal Procrustes."""
    first = gaussian(samples=samples, size=60, seed=1)
    second = gaussian(samples=others, size=60, seed=2)
    found = frechet_distance(*first, *second)
    assert found.isfinite()
    torch.testing.assert_close(found, frechet_distance(*second, *first), rtol=1e-12, atol=0)
    decomposed = [torch.linalg.eigh(cov) for _, cov in (first, second)]
    roots = [vectors * values.clamp(min=0).sqrt() for values, vectors in decomposed]
    rotation = scipy.linalg.orthogonal_procrustes(roots[1].numpy(), roots[0].numpy())[0]
    nearest = (roots[0] - roots[1] @ torch.from_numpy(rotation)).square().sum()
    wanted = (first[0] - second[0]).square().sum() + nearest
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("samples", [2, 20, 300])
def test_the_factor_has_as_many_columns_as_the_covariance_has_rank(samples: int):
    _, covariance = gaussian(samples=samples, size=60, seed=1)
    lower = factor(covariance)
    assert lower.shape == (60, min(samples - 1, 60))
    torch.testing.assert_close(lower @ lower.T, covariance, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_both_ways_to_sum_singular_values_agree(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    matrix = torch.randn(shape, dtype=torch.float64)
    wanted = np.linalg.norm(matrix.numpy(), ord="nuc")
    assert float(singular_value_sum(matrix)) == pytest.approx(wanted)
    monkeypatch.setattr("vdsm_glass.metrics.frechet.SVD_UP_TO", 10)
    assert float(singular_value_sum(matrix)) == pytest.approx(wanted)


def clips(n: int, *, seed: int, frames: int = 10) -> Tensor:
    """Noise around colours of their own, (n, t, 3, 16, 16) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(n, 1, 3, 1, 1, generator=generator) ** (1 + seed)
    return (colours + 0.2 * torch.randn(n, frames, 3, 16, 16, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize(
    ("kind", "extractor"), [(FID, random_frame_features(seed=3)), (FVD, random_video_features(seed=3))]
)
def test_torchmetrics_agrees_on_the_same_features(kind: Callable[[Extractor], FrechetDistance], extractor: Extractor):
    from torchmetrics.image.fid import FrechetInceptionDistance

    sides = {"real": clips(12, seed=0), "generated": clips(9, seed=1)}
    oracle, ours = FrechetInceptionDistance(feature=extractor), kind(extractor)
    for side, video in sides.items():
        oracle.update(video.flatten(0, 1) if kind is FID else video, real=side == "real")
        for batch in video.split(5):
            ours.update(batch, real=side == "real")
    assert float(ours.compute()) == pytest.approx(float(oracle.compute()), rel=1e-4)
    assert int(ours.n[0]) == (120 if kind is FID else 12)


def test_torch_fidelity_agrees_on_the_same_features():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    extractor = random_frame_features(seed=3)
    metric = FID(extractor)
    statistics = []
    for real, video in ((True, clips(12, seed=0)), (False, clips(9, seed=1))):
        metric.update(video, real=real)
        statistics.append(fid_features_to_statistics(extractor(video.flatten(0, 1)).double()))
    oracle = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert float(metric.compute()) == pytest.approx(oracle, rel=1e-6)


def test_it_does_not_matter_how_samples_come():
    video = clips(7, seed=1)
    whole, bits = FVD(random_video_features(), chunk=100), FVD(random_video_features(), chunk=2)
    whole.update(clips(5, seed=0), real=True)
    whole.update(video, real=False)
    for batch in video.split(3):
        bits.update(batch, real=False)
    bits.update(clips(5, seed=0), real=True)
    torch.testing.assert_close(bits.compute(), whole.compute(), rtol=1e-6, atol=0)
    bits.reset()
    with pytest.raises(UserError, match="has seen 0 real"), pytest.warns(UserWarning, match="before the"):
        bits.compute()


@pytest.mark.parametrize("kind", ["FVD of one clip", "FID of one frame"])
def test_one_sample_has_no_covariance(kind: str):
    metric = FVD(random_video_features()) if kind.startswith("FVD") else FID(random_frame_features())
    metric.update(clips(3, seed=0), real=True)
    metric.update(clips(1, seed=1, frames=10 if kind.startswith("FVD") else 1), real=False)
    with pytest.raises(UserError, match=r"at least 2 (clips|frames) on each side and has seen 1 generated"):
        metric.compute()


def test_fvd_of_few_frames_says_what_to_do():
    with pytest.raises(UserError, match=r"at least 10 frames, and these have 9; set --data\.clip_length 10"):
        FVD(random_video_features()).update(clips(2, seed=0, frames=9), real=True)


def test_nan_in_a_video_is_no_number():
    metric = FVD(random_video_features())
    video = clips(3, seed=0)
    metric.update(video, real=True)
    metric.update(torch.where(video > 0.9, torch.nan, video), real=False)
    with pytest.raises(UserError, match="generated video are not finite"):
        metric.compute()


def test_ten_thousand_clips_need_no_more_memory_than_a_few():
    """Their pixels are 3 GB, and their features of 400 numbers would be 16 MB."""

    class Cheap(nn.Module):
        def forward(self, video: Tensor) -> Tensor:
            return video.flatten(1)[:, :400]

    metric = FVD(Extractor(Cheap(), name="cheap", checksum="", num_features=400), chunk=100)
    batch = torch.rand(100, 10, 3, 50, 50)

    def score() -> None:
        for real in (True, False):
            for _ in range(100):
                metric.update(batch, real=real)
        metric.compute()

    peak = peak_memory(score, torch.device("cpu"))
    assert peak is None or peak < 50e6
    states = [state for state in metric.metric_state.values() if isinstance(state, Tensor)]
    assert sum(state.nbytes for state in states) == 2 * (8 + 8 * 400 + 8 * 400 * 400)


def test_random_networks_are_the_same_every_time_and_say_what_they_are():
    before = torch.random.get_rng_state()
    first, again, other = random_video_features(1), random_video_features(1), random_video_features(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.checksum == again.checksum != other.checksum
    assert FVD(first).network_info == {"network": "random_features", "checksum": first.checksum}
    video = clips(2, seed=0)
    assert torch.equal(first(video), again(video))
    assert not torch.equal(first(video), other(video))
    assert first.train().training is False


def test_further_changes_are_further_away():
    """The stand-ins order what differs more; that is all that is asked of them."""
    real = clips(30, seed=0)
    for kind, extractor in ((FID, random_frame_features()), (FVD, random_video_features())):
        distances = []
        for strength in (0.0, 0.1, 0.3):
            metric: Metric = kind(extractor)
            metric.update(real, real=True)
            metric.update((real + strength).clamp(0, 1), real=False)
            distances.append(float(metric.compute()))
        assert distances == sorted(distances)
        assert abs(distances[0]) < 1e-9 < distances[1] < distances[2]

"""Fréchet distances between the features of real and of generated video: FID and FVD, streaming."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.metrics.features import Extractor
from vdsm_glass.metrics.states import StatefulMetric
from vdsm_glass.published_weights import I3D_FEWEST_FRAMES

SIDES = ("real", "generated")
SVD_UP_TO = 1024
"""Side of a matrix up to which its singular values take about a second on one core."""


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> Tensor:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½), squared Wasserstein distance of two Gaussians.  [Heusel et al. 2017]

    With Σᵢ = Lᵢ Lᵢᵀ the last trace is the sum of the singular values of L₁ᵀ L₂, which is real for any rank, and
    symmetric. Lᵢ is the pivoted Cholesky factor, which has as many columns as Σᵢ has rank.

    Args: mean1, mean2 (f,); cov1, cov2 (f, f), symmetric and positive semidefinite.
    Returns: float64 scalar, >= 0 except for rounding.
    """
    factor1, factor2 = factor(cov1), factor(cov2)
    difference = (mean1 - mean2).double().cpu()
    traces = cov1.double().trace().cpu() + cov2.double().trace().cpu()
    return difference.square().sum() + traces - 2 * singular_value_sum(factor1.T @ factor2)


def factor(covariance: Tensor) -> Tensor:
    """L with L Lᵀ = Σ, by pivoted Cholesky, which stops when only rounding is left.

    Args: covariance (f, f).   Returns: (f, rank), float64, on the CPU.
    """
    matrix = covariance.double().numpy(force=True)
    (pivoted_cholesky,) = get_lapack_funcs(("pstrf",), (matrix,))
    lower, pivots, rank, _ = pivoted_cholesky(matrix, lower=1)
    result = np.zeros((len(matrix), rank))
    result[pivots - 1] = np.tril(lower)[:, :rank]
    return torch.from_numpy(result)


def singular_value_sum(matrix: Tensor) -> Tensor:
    """The nuclear norm.  Args: (m, n), float64."""
    if min(matrix.shape) <= SVD_UP_TO:
        return torch.linalg.svdvals(matrix).sum()
    # A third of the time. Squaring loses half of the digits, but only of values that hardly count in the sum.
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()


class FrechetDistance(StatefulMetric):
    """Fréchet distance of the Gaussians that fit the features of real and of generated samples.

    The state is, for the real and the generated side, the number of samples, the sum of their features and that of the
    features' outer products, in float64.

    Args: extractor; chunk, how many samples it is given at once, which bounds its memory; by default `default_chunk`.
    """

    higher_is_better = False

    samples = "samples"
    default_chunk = 32

    def __init__(self, extractor: Extractor, *, chunk: int | None = None) -> None:
        super().__init__()
        self.extractor = extractor
        self.network_info = extractor.info
        self.chunk = chunk or self.default_chunk
        f = extractor.num_features
        self.add_sums("n", shape=(2,), dtype=torch.int64)
        self.add_sums("total", shape=(2, f), dtype=torch.float64)
        self.add_sums("outer", shape=(2, f, f), dtype=torch.float64)

    @torch.no_grad()
    def add(self, inputs: Tensor, *, real: bool) -> None:
        """Adds samples.  Args: inputs (n, ...), as the extractor takes them."""
        for part in inputs.split(self.chunk):
            self.add_features(self.extractor(part.float()), real=real)

    def add_features(self, features: Tensor, *, real: bool) -> None:
        """Adds samples by their features (n, f)."""
        side, features = SIDES.index("real" if real else "generated"), features.double()
        self.n[side] += len(features)
        self.total[side] += features.sum(dim=0)
        self.outer[side].addmm_(features.T, features)

    def gaussian(self, side: str) -> tuple[Tensor, Tensor]:
        """Mean (f,) and unbiased covariance (f, f) of the features of one side.

        Raises: UserError, there are fewer than two samples, or features that are not finite.
        """
        n, total, outer = (state[SIDES.index(side)] for state in (self.n, self.total, self.outer))
        if n < 2:
            raise UserError(
                f"{type(self).__name__} needs at least 2 {self.samples} on each side and has seen {int(n)} {side}; "
                "score more of them"
            )
        if not total.isfinite().all():
            raise UserError(f"{type(self).__name__}: features of the {side} video are not finite; look for NaN in it")
        mean = total / n
        return mean, (outer - n * torch.outer(mean, mean)) / (n - 1)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar.  Raises: as `gaussian`."""
        return frechet_distance(*self.gaussian("real"), *self.gaussian("generated")).to(self.total.device)


class FID(FrechetDistance):
    """Fréchet Inception distance, over all frames of all clips.  [Heusel et al. 2017]

    >>> from vdsm_glass.metrics.features import random_frame_features
    >>> metric = FID(random_frame_features(seed=0))
    >>> video = torch.rand(2, 3, 3, 16, 16)
    >>> metric.update(video, real=True)
    >>> metric.update(video, real=False)
    >>> round(abs(metric.compute().item()), 6)
    0.0
    """

    samples = "frames"

    def update(self, video: Tensor, *, real: bool) -> None:
        """Args: video (b, t, 3, h, w) in [0, 1]."""
        self.add_features(self.extractor.of_frames(video, chunk=self.chunk), real=real)


class FVD(FrechetDistance):
    """Fréchet video distance, in which every clip is one sample.  [Unterthiner et al. 2018]"""

    samples = "clips"
    default_chunk = 4

    def update(self, video: Tensor, *, real: bool) -> None:
        """Args: video (b, t, 3, h, w) in [0, 1].   Raises: UserError, t < 10."""
        if video.shape[1] < I3D_FEWEST_FRAMES:
            raise UserError(
                f"FVD needs clips of at least {I3D_FEWEST_FRAMES} frames, and these have {video.shape[1]}; set "
                f"--data.clip_length {I3D_FEWEST_FRAMES} or more, or leave fvd out"
            )
        self.add(video, real=real)

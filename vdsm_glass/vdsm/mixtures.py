"""Mixtures of Gaussians that are fitted to latents, not trained by gradients."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from vdsm_glass.vdsm.sizes import Sizes

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

COMPONENTS = (1, 2, 4, 8, 16)
HELD_OUT = 4
"""One sample in so many is held out when the number of components is chosen."""
FEWEST = 10
"""Samples for each component."""
LEAST_VARIANCE = 1e-6
"""Added to every variance, as a share of their mean: fewer samples than dimensions have a singular covariance."""


@dataclass(frozen=True)
class Mixture:
    """Σ_k share_k N(mean_k, root²): Gaussians of one covariance, because clips are few for one covariance each.

    Args: shares (k,), which sum to 1; means (k, n); root (n, n), symmetric.
    """

    shares: Tensor
    means: Tensor
    root: Tensor

    @classmethod
    def fit(cls, x: Tensor, *, most: int = COMPONENTS[-1]) -> Mixture:
        """By expectation maximisation, with as many of `COMPONENTS` as make samples held out the likeliest.

        Args: x (m, n), m > 1; most, how many components at most.
        """
        points = x.double().numpy(force=True)
        centre = points.mean(axis=0)
        # One number for all dimensions, so that those which carry nothing stay small.
        scale = float(np.sqrt((points - centre).var(axis=0).mean())) or 1.0
        points = np.random.default_rng(0).permutation((points - centre) / scale)
        held, seen = points[: len(points) // HELD_OUT], points[len(points) // HELD_OUT :]
        tried = [k for k in COMPONENTS if k == 1 or (k <= most and FEWEST * k <= len(seen))]
        best = max(tried, key=lambda k: _mixture(seen, k).score(held)) if len(tried) > 1 else 1
        found: Any = _mixture(points, best)
        values, vectors = np.linalg.eigh(found.covariances_)
        # The symmetric root, because the signs of eigenvectors are arbitrary, and samples should not be.
        root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
        parts = (found.weights_, found.means_ * scale + centre, root * scale)
        return cls(*(torch.from_numpy(part).float() for part in parts))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples (count, n), on the generator's device."""
        shares, means, root = (part.to(generator.device) for part in (self.shares, self.means, self.root))
        which = torch.multinomial(shares, count, replacement=True, generator=generator)
        return means[which] + torch.randn(count, len(root), generator=generator, device=root.device) @ root


def _mixture(points: np.ndarray, components: int) -> GaussianMixture:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    made = GaussianMixture(
        n_components=components,
        covariance_type="tied",
        reg_covar=LEAST_VARIANCE,
        random_state=0,
    )
    with warnings.catch_warnings():
        # Also of clips that are all alike; and a mixture that could become a little likelier is a density as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return made.fit(points)


class Motions(nn.Module):
    """p(d) as a mixture that begins as the paper's N(0, 1/κ_d²) and is fitted to d of each epoch's clips. Ours.

    With q fixed, the p(d) that makes the bound largest is the average of q(d | x) over clips, and a mixture comes near
    it.  [Tomczak and Welling 2018, section 2] Fitted by gradients it came to have one or six Gaussians that are used.
    """

    shares: Tensor
    means: Tensor
    root: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("shares", torch.eye(sizes.motions)[0])
        self.register_buffer("means", torch.zeros(sizes.motions, sizes.kappa_d))
        self.register_buffer("root", torch.eye(sizes.kappa_d) / sizes.kappa_d)

    def refit(self, d: Tensor) -> None:
        """Takes the place of the mixture so far.  Args: d (m, d), samples of q(d | x) of m clips."""
        found = Mixture.fit(d, most=len(self.shares))
        self.shares.zero_()[: len(found.shares)] = found.shares
        # Gaussians that are left over lie on the first: `Categorical` gives them a share a little above 0.
        self.means.copy_(found.means[0].expand_as(self.means))[: len(found.means)] = found.means
        self.root.copy_(found.root)

    def distribution(self, b: int) -> dist.TorchDistribution:
        """p(d), of batch shape (b,)."""
        gaussians = dist.MultivariateNormal(self.means, covariance_matrix=self.root @ self.root)
        return dist.MixtureSameFamily(dist.Categorical(probs=self.shares), gaussians).expand((b,))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """d (count, d).  Args: generator, on the buffers' device."""
        return Mixture(self.shares, self.means, self.root).draw(count, generator)

"""A density fitted, after training, to what the guide makes of training clips: an alternative to the prior.

Ours, not the paper's. Clips drawn from the prior show how far prior and guide are apart; clips drawn from this density,
what the decoder makes of latents like those of real clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM


@dataclass(frozen=True)
class Gaussian:
    """N(mean, root²).  Args: mean (n,); root (n, n), symmetric."""

    mean: Tensor
    root: Tensor

    @classmethod
    def fit(cls, x: Tensor) -> Gaussian:
        """The mean and covariance of samples x (m, n), m > 1; the covariance may be singular."""
        values, vectors = torch.linalg.eigh(torch.cov(x.double().T).reshape(x.shape[1], x.shape[1]))
        # The symmetric root, because the signs of eigenvectors are arbitrary, and samples should not be.
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return cls(mean=x.mean(dim=0), root=root.to(x.dtype))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Samples (count, n).  Args: generator, on the parameters' device."""
        noise = torch.randn(count, len(self.mean), generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + noise @ self.root


@dataclass(frozen=True)
class FittedPrior:
    """Gaussians fitted to the means of q: of s, and of d and z_1 together; before stage 2 of every frame's z."""

    net: FrameVDSM | SequenceVDSM
    identity: Gaussian
    motion: Gaussian

    @classmethod
    def of(cls, net: FrameVDSM | SequenceVDSM, latents: Latents) -> FittedPrior:
        """Args: latents, what `net.encode` gives for many clips, on the network's device."""
        z, d = latents.z, latents.d
        motion = rearrange(z, "b t z -> (b t) z") if d is None else torch.cat([d, z[:, 0]], dim=-1)
        return cls(net=net, identity=Gaussian.fit(latents.s), motion=Gaussian.fit(motion))

    def sample_identity(self, count: int, generator: torch.Generator) -> Tensor:
        """As `net.sample_identity`, (count, s)."""
        return self.identity.draw(count, generator)

    def sample_poses(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """As `net.sample_poses`, (count, steps, z); after z_1 poses follow p(z_t | z_{t-1}, d)."""
        if not isinstance(self.net, SequenceVDSM):
            return rearrange(self.motion.draw(count * steps, generator), "(b t) z -> b t z", t=steps)
        d, z_1 = self.motion.draw(count, generator).split([self.net.sizes.kappa_d, self.net.sizes.kappa_z], dim=-1)
        return self.net.advance(z_1, d, steps=steps, generator=generator)

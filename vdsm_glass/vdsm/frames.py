"""Stage 1: frames that are independent given the identity; and `Latents`, what VDSM takes a video apart into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import pyro
import pyro.distributions as dist
import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.vdsm.densities import Encoder, MixtureDecoder, MixtureLogits, NormalParameters, isotropic
from vdsm_glass.vdsm.sizes import Sizes

if TYPE_CHECKING:
    from vdsm_glass.vdsm.fitted import FittedPrior


@dataclass(frozen=True)
class Latents:
    """Identity s (b, s), poses z (b, t, z) and, after stage 2, dynamics d (b, d)."""

    s: Tensor
    z: Tensor
    d: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Latents:
        """The latents with `function` applied to each tensor."""
        present = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **{name: function(value) for name, value in present.items()})

    def __getitem__(self, rows: Tensor | slice) -> Latents:
        """The latents of the sequences `rows`."""
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Latents:
        """The latents on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    @staticmethod
    def concatenate(parts: list[Latents]) -> Latents:
        """The sequences of all `parts`, in order; either all parts have d or none has."""
        d = [part.d for part in parts if part.d is not None]
        return Latents(
            s=torch.cat([part.s for part in parts]),
            z=torch.cat([part.z for part in parts]),
            d=torch.cat(d) if d else None,
        )


class FrameVDSM(nn.Module):
    """p(s) ∏_t p(z_t) p(x_t | z_t, s), with q(s | x_{1:T}) ∏_t q(z_t | x_t).  [VDSM suppl. sections 3 and 4]"""

    tau_s: Tensor
    fitted: FittedPrior | None = None
    """What is drawn from in the prior's place, once it is fitted; no part of the weights."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.identity_from_half = False
        """In training, whether s is inferred from the first half of the frames alone, and draws all of them."""
        self.encoder = Encoder(sizes)
        self.decoder = MixtureDecoder(sizes)
        self.mixture_logits = MixtureLogits(sizes) if sizes.mixture_dim else None
        # A buffer, because a checkpoint without τ_s would draw other pictures.
        self.register_buffer("tau_s", torch.ones(()))

    def mixture(self, s: Tensor) -> Tensor:
        """s̃ = softmax(τ_s s), sharper as τ_s grows; see `MixtureLogits`.  Args: s (b, s).   Returns: (b, s), sums 1."""
        logits = self.tau_s * s
        if self.mixture_logits is not None:
            logits = logits + self.mixture_logits(s)
        return torch.softmax(logits, dim=-1)

    def decode(self, z: Tensor, s: Tensor) -> Tensor:
        """E[x_t | z_t, s].  Args: z (b, t, z); s (b, s).   Returns: (b, t, 3, h, w) in [0, 1]."""
        return torch.sigmoid(self.decoder(z, self.mixture(s)))

    def encode(self, video: Tensor) -> Latents:
        """The means of q(s | x_{1:T}) and q(z_t | x_t).  Args: video (b, t, 3, h, w) in [0, 1]."""
        s, z = self.encoder(video)
        return Latents(s=s.loc, z=z.loc)

    def prior_s(self, like: Tensor) -> NormalParameters:
        """p(s), of mean 0 and standard deviation 1/κ_s.  Args: like (b, ...).   Returns: each (b, s)."""
        return isotropic(like, size=self.sizes.kappa_s, scale=1 / self.sizes.kappa_s)

    @property
    def frames(self) -> FrameVDSM:
        """This network. The second stage has the first as `frames`, so that both are asked alike."""
        return self

    def sample_identity(self, count: int, generator: torch.Generator) -> Tensor:
        """s ~ p(s).  Args: generator, on the network's device.   Returns: (count, s)."""
        return self.prior_s(self.tau_s.new_empty(count, 0)).draw(generator)

    def sample_poses(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """z_t ~ N(0, I), independent.  Args: generator, on the network's device.   Returns: (count, steps, z)."""
        like = self.tau_s.new_empty(count, 0)
        return torch.stack([isotropic(like, size=self.sizes.kappa_z).draw(generator) for _ in range(steps)], dim=1)

    def observe(self, video: Tensor, z: Tensor, s: Tensor) -> None:
        """p(x_{1:T} | z_{1:T}, s), Bernoulli; for pixels within [0, 1] its log is the negative cross-entropy.

        Args: video (b, t, 3, h, w); z (b, t, z); s (b, s).
        """
        logits = self.decoder(z, self.mixture(s))
        pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(4), obs=video)

    def model(self, video: Tensor) -> None:
        """p(s) ∏_t p(z_t) p(x_t | z_t, s), z_t ~ N(0, I).  Args: video (b, t, 3, h, w) in [0, 1]."""
        b, t = video.shape[:2]
        with pyro.plate("sequences", b, dim=-1):
            s = pyro.sample("s", self.prior_s(video).distribution())
            with pyro.plate("frames", t, dim=-2):
                z = pyro.sample("z", isotropic(video, size=self.sizes.kappa_z).distribution().expand((t, b)))
            self.observe(video, z=rearrange(z, "t b z -> b t z"), s=s)

    def guide(self, video: Tensor) -> None:
        """q(s | x_{1:T}) ∏_t q(z_t | x_t).  Args: video (b, t, 3, h, w) in [0, 1]."""
        b, t = video.shape[:2]
        half = self.identity_from_half and self.training
        s, z = self.encoder(video, identity_frames=max(t // 2, 1) if half else t)
        z = NormalParameters(*(rearrange(parameter, "b t z -> t b z") for parameter in z))
        with pyro.plate("sequences", b, dim=-1):
            pyro.sample("s", s.distribution())
            with pyro.plate("frames", t, dim=-2):
                pyro.sample("z", z.distribution())

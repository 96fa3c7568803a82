"""Stage 2: dynamics, with the frames' encoder and decoder frozen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal

import pyro
import pyro.distributions as dist
import torch
from einops import repeat
from torch import Tensor, nn
from torch.distributions import kl_divergence

from vdsm_glass.vdsm.densities import (
    Combiner,
    DynamicsDecoder,
    DynamicsEncoder,
    FirstPose,
    GatedTransition,
    NormalParameters,
    isotropic,
)
from vdsm_glass.vdsm.elbo import Elbo
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.mixtures import Motions
from vdsm_glass.vdsm.sizes import Sizes

if TYPE_CHECKING:
    from vdsm_glass.vdsm.fitted import FittedPrior


class SequenceVDSM(nn.Module):
    """p(s) p(d) p(z_1) ∏_t p(z_t | z_{t-1}, d) p(x_t | z_t, s) and its guide.  [VDSM suppl. Eqs. (1), (2) and (4)]

    `frames`, stage 1's network, is frozen: it has no gradient and is always in eval mode.

    With `sizes.anonymous_dynamics`, ours and not the paper's, d is inferred from poses seen in a drawing of the clip
    with the identity 0, the prior's mean. What the decoder does not draw of an identity by poses, d cannot tell.
    """

    fitted: FittedPrior | None = None
    """As `FrameVDSM.fitted`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.dynamics_from_half = False
        """In training, whether d is inferred from the first half of the frames alone, and unfolds into all of them."""
        self.frames = FrameVDSM(sizes).requires_grad_(False)
        self.dynamics_encoder = DynamicsEncoder(sizes)
        self.dynamics_decoder = DynamicsDecoder(sizes)
        self.combiner = Combiner(sizes)
        self.transition = GatedTransition(sizes)
        self.first_pose = FirstPose(sizes) if sizes.first_pose_from_d else None
        self.motions = Motions(sizes) if sizes.motions else None

    def train(self, mode: bool = True) -> SequenceVDSM:
        """Sets the mode of all but `frames`, which stays in eval mode."""
        super().train(mode)
        self.frames.eval()
        return self

    def prior_d(self, like: Tensor) -> dist.TorchDistribution:
        """p(d), of mean 0 and standard deviation 1/κ_d, or with `sizes.motions` a mixture.  Args: like (b, ...)."""
        if self.motions is not None:
            return self.motions.distribution(like.shape[0])
        return self.standard_d(like).distribution()

    def standard_d(self, like: Tensor) -> NormalParameters:
        """The paper's p(d).  Args: like (b, ...).   Returns: each (b, d)."""
        return isotropic(like, size=self.sizes.kappa_d, scale=1 / self.sizes.kappa_d)

    def prior_z_1(self, d: Tensor) -> NormalParameters:
        """p(z_1) = N(0, I), or p(z_1 | d) with `first_pose_from_d`.  Args: d (b, d).   Returns: each (b, z)."""
        return isotropic(d, size=self.sizes.kappa_z) if self.first_pose is None else self.first_pose(d)

    def model(self, video: Tensor) -> None:
        """p(s) p(d) p(z_1) ∏_t p(z_t | z_{t-1}, d) ∏_t p(x_t | z_t, s).  Args: video (b, t, 3, h, w) in [0, 1]."""
        b, steps = video.shape[:2]
        with pyro.plate("sequences", b, dim=-1):
            s = pyro.sample("s", self.frames.prior_s(video).distribution())
            d = pyro.sample("d", self.prior_d(video))
            with exact(video):
                z = [pyro.sample("z_1", self.prior_z_1(d).distribution())]
                memory = self.transition.begin(d)
                for t in range(2, steps + 1):
                    memory = self.transition.remember(z[-1], memory)
                    z.append(pyro.sample(f"z_{t}", self.transition(z[-1], d, memory).distribution()))
            self.frames.observe(video, z=torch.stack(z, dim=1), s=s)

    def guide(self, video: Tensor) -> None:
        """q(s | x_{1:T}) q(d | x_{1:T}) ∏_t q(z_t | z_{t-1}, x_{1:T}, d).  Args: video (b, t, 3, h, w) in [0, 1]."""
        b, steps = video.shape[:2]
        s, poses = self.frames.encoder(video)
        half = self.dynamics_from_half and self.training
        seen = self.seen(poses.loc[:, : max(steps // 2, 1)] if half else poses.loc)
        with pyro.plate("sequences", b, dim=-1), exact(video):
            pyro.sample("s", s.distribution())
            d = pyro.sample("d", self.dynamics_encoder(seen).distribution())
            drive = self.combiner.drive(self.dynamics_decoder(d, steps=steps), d)
            z = self.z_0(b)
            for t in range(1, steps + 1):
                z = pyro.sample(f"z_{t}", self.combiner(z, drive[:, t - 1]).distribution())

    def z_0(self, b: int) -> Tensor:
        """The learned pose before the first, (b, z)."""
        return repeat(self.combiner.z_0, "z -> b z", b=b)

    def encode(self, video: Tensor) -> Latents:
        """The means of s, d and, along the guide, of z_t.  Args: video (b, t, 3, h, w) in [0, 1]."""
        s, poses = self.frames.encoder(video)
        d = self.dynamics_encoder(self.seen(poses.loc)).loc
        return Latents(s=s.loc, z=self.follow(d, steps=video.shape[1]), d=d)

    def dynamics(self, video: Tensor) -> Tensor:
        """The mean of q(d | x_{1:T}).  Args: video (b, t, 3, h, w) in [0, 1].   Returns: (b, d)."""
        return self.dynamics_encoder(self.seen(self.frames.encoder.poses_of(video).loc)).loc

    def seen(self, poses: Tensor) -> Tensor:
        """What d is inferred from: the poses, or with `anonymous_dynamics` those of a drawing of them.

        Args: poses (b, t, z).   Returns: (b, t, z).
        """
        if not self.sizes.anonymous_dynamics:
            return poses
        with torch.no_grad():
            drawn = self.frames.decode(poses, poses.new_zeros(len(poses), self.sizes.kappa_s))
            return self.frames.encoder.poses_of(drawn).loc

    def follow(self, d: Tensor, *, steps: int) -> Tensor:
        """Mean poses under q(z_t | z_{t-1}, h_t, d), which depends on x through d alone.

        Args: d (b, d).   Returns: (b, t, z).
        """
        drive = self.combiner.drive(self.dynamics_decoder(d, steps=steps), d)
        z = [self.z_0(d.shape[0])]
        for t in range(steps):
            z.append(self.combiner(z[-1], drive[:, t]).loc)
        return torch.stack(z[1:], dim=1)

    def advance(self, z_1: Tensor, d: Tensor, *, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """z_1 and the poses after it under p(z_t | z_{t-1}, d): means, or samples if a generator is given.

        Args: z_1 (b, z); d (b, d).   Returns: (b, steps, z).
        """
        following = islice(self.ahead(z_1, d, generator), steps - 1)
        return torch.stack([z_1, *(z for _, z in following)], dim=1)

    def ahead(
        self, z_1: Tensor, d: Tensor, generator: torch.Generator | None = None
    ) -> Iterator[tuple[NormalParameters, Tensor]]:
        """p(z_t | z_{t-1}, d) and the pose taken of it, for t = 2, 3, ... without end; as `advance`."""
        z, memory = z_1, self.transition.begin(d)
        while True:
            memory = self.transition.remember(z, memory)
            p = self.transition(z, d, memory)
            z = p.loc if generator is None else p.draw(generator)
            yield p, z

    def overshoot(self, elbo: Elbo) -> Tensor:
        """Σ_t KL(q(z_t | ...) || p(z_t | z_1, d)), nats per sequence: the transition goes on from its own means.

        q is held: the transition learns to get to where the guide is, however far from the first pose.  [overshooting:
        Hafner et al. 2019, "Learning latent dynamics for planning from pixels", section 4, with means for samples]
        """
        z_1, d = elbo.latents["z_1"], elbo.latents["d"]
        steps = sum(name.startswith("z_") for name in elbo.latents)
        total = d.new_zeros(())
        with exact(d):
            for t, (p, _) in zip(range(2, steps + 1), self.ahead(z_1, d), strict=False):
                total = total + kl_divergence(held(elbo.posteriors[f"z_{t}"]), p.distribution()).sum()
        return total / len(d)

    def rollout(
        self,
        d: Tensor,
        *,
        steps: int,
        dynamics: Literal["posterior", "prior"] = "posterior",
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The poses that d unfolds into.

        `posterior` runs the LSTM decoder and the combiner for all steps; `prior` takes only z_1 from them, and all
        later poses from the transition: means, or samples if a generator is given.

        Args: d (b, d).   Returns: (b, steps, z).
        """
        if dynamics == "posterior":
            return self.follow(d, steps=steps)
        return self.advance(self.follow(d, steps=1)[:, 0], d, steps=steps, generator=generator)

    def sample_identity(self, count: int, generator: torch.Generator) -> Tensor:
        """s ~ p(s).  Args: generator, on the network's device.   Returns: (count, s)."""
        return self.frames.sample_identity(count, generator)

    def sample_poses(self, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """d ~ p(d), z_1 ~ p(z_1), or p(z_1 | d), z_t ~ p(z_t | z_{t-1}, d).

        Args: generator, on the network's device.   Returns: (count, steps, z).
        """
        like = self.frames.tau_s.new_empty(count, 0)
        d = self.standard_d(like).draw(generator) if self.motions is None else self.motions.sample(count, generator)
        z_1 = self.prior_z_1(d).draw(generator)
        return self.advance(z_1, d, steps=steps, generator=generator)

    def decode(self, z: Tensor, s: Tensor) -> Tensor:
        """E[x_t | z_t, s].  Args: z (b, t, z); s (b, s).   Returns: (b, t, 3, h, w) in [0, 1]."""
        return self.frames.decode(z, s)


def held(q: dist.Independent) -> dist.Independent:
    """A normal distribution without its gradient."""
    return dist.Normal(q.base_dist.loc.detach(), q.base_dist.scale.detach()).to_event(1)


def exact(like: Tensor) -> torch.autocast:
    """A context of float32 whatever the precision around it: over T steps of feedback, rounding errors add up."""
    return torch.autocast(device_type=like.device.type, enabled=False)

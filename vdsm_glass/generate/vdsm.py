"""Both stages of VDSM."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vdsm_glass.generate.interpolate import interpolate_dynamics, interpolate_identity
from vdsm_glass.generate.protocols import LONG
from vdsm_glass.generate.sample import sample
from vdsm_glass.generate.swap import swap, swap_grid
from vdsm_glass.generate.transfer import rollout
from vdsm_glass.generate.vocabulary import Model, at_least, unbatched
from vdsm_glass.media import Source
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM


class VDSMFramesModel(Model):
    """VDSM's first stage: frames that are independent given who is in them."""

    name = "VDSM after stage 1, which knows poses but no dynamics,"
    can = ("reconstruct", "swap", "interpolate", "sample")
    network: FrameVDSM | SequenceVDSM

    @torch.no_grad()
    def encode(self, video: Source) -> Latents:
        """s, z and after stage 2 d of (b, t, ...) videos, on the model's device."""
        return self.network.encode(self.batch(video)[0])

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        motion = self.encode(videos)
        return swap_grid(self.network, motion, motion if identities is None else self.encode(identities)).cpu()

    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        if of != "identity":
            raise self.cannot(f"interpolate {of}")
        a, b = self.encode(source), self.encode(target)
        at_least(count, 2, "count")
        return interpolate_identity(self.network, a[:1], a.s[0], b.s[0], count=count).cpu()

    def sample(self, count: int = 4, *, steps: int = 16, seed: int = 0) -> Tensor:
        at_least(count, 1, "count")
        at_least(steps, 1, "steps")
        return sample(self.network, count=count, steps=steps, generator=self.generator(seed)).cpu()

    def generator(self, seed: int) -> torch.Generator:
        """Noise on the model's device."""
        return torch.Generator(self.device).manual_seed(seed)


class VDSMModel(VDSMFramesModel):
    """VDSM after both stages."""

    name = "VDSM"
    can = ("reconstruct", "transfer", "swap", "rollout", "interpolate", "sample")
    network: SequenceVDSM

    @torch.no_grad()
    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        actions, identities, one = self.pairs(source, target)
        steps = actions.shape[1] if steps is None else at_least(steps, 1, "steps")
        d = self.network.dynamics(actions)
        who = self.network.frames.encode(identities)
        return unbatched(swap(self.network, Latents(s=who.s, z=self.network.rollout(d, steps=steps), d=d), who), one)

    @torch.no_grad()
    def rollout(
        self,
        video: Source,
        *,
        steps: int = LONG,
        dynamics: Literal["posterior", "prior"] = "posterior",
        seed: int | None = None,
    ) -> Tensor:
        clips, one = self.batch(video)
        at_least(steps, 1, "steps")
        generator = None if seed is None else self.generator(seed)
        d, s = self.network.dynamics(clips), self.network.frames.encode(clips).s
        drawn = rollout(self.network, d, s, steps=steps, dynamics=dynamics, generator=generator)
        return unbatched(drawn, one)

    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        if of == "identity":
            return super().interpolate(source, target, count=count)
        a, b = self.encode(source), self.encode(target)
        at_least(count, 2, "count")
        assert a.d is not None
        assert b.d is not None
        steps = a.z.shape[1]
        return interpolate_dynamics(self.network, a.s[0], a.d[0], b.d[0], count=count, steps=steps).cpu()

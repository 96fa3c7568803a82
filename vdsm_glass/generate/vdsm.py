"""The verbs and protocols of VDSM, after either stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass.generate.vocabulary import (
    DENSITIES,
    LONG,
    Density,
    GenerationProtocol,
    Model,
    at_least,
    reconstructed,
    transferred,
)
from vdsm_glass.media import Source
from vdsm_glass.sizes import as_sizes
from vdsm_glass.vdsm.fitted import FittedPrior, Net
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

NOT_FITTED = (
    "the model carries no density that was fitted to training clips; a recipe with `callbacks.FittedDensity` fits one "
    "when training ends"
)


def decode_grid(net: Net, z: Tensor, s: Tensor) -> Tensor:
    """Every identity in every motion: row i has the identity i, column j the motion j.  [VDSM suppl. Fig. 5-9]

    Args: z (m, t, z) poses of m motions; s (n, s).   Returns: (n, m, t, 3, h, w) in [0, 1].
    """
    n, m = len(s), len(z)
    drawn = net.decode(repeat(z, "m t z -> (n m) t z", n=n), repeat(s, "n s -> (n m) s", m=m))
    return rearrange(drawn, "(n m) t c h w -> n m t c h w", n=n)


def between(a: Tensor, b: Tensor, *, count: int) -> Tensor:
    """`count` points on the segment from a to b, both ends included.  Args: a, b (n,).   Returns: (count, n)."""
    share = torch.linspace(0, 1, count, device=a.device).unsqueeze(dim=1)
    return torch.lerp(a.unsqueeze(dim=0), b.unsqueeze(dim=0), share)


def _sampled(density: Density, about: str) -> GenerationProtocol:
    """The protocol of the verb `sample`: as many clips as are given, of their length."""
    return GenerationProtocol(
        lambda model, video, _, generator: model.sample(
            len(video), steps=video.shape[1], seed=generator, density=density
        ),
        about=about,
        paired=False,
        lacks=lambda model: "" if density in model.densities else NOT_FITTED,
    )


class VDSMFramesModel(Model):
    """VDSM after its first stage: frames that are independent given the identity."""

    title = "VDSM's first stage"
    can = ("reconstruct", "swap", "interpolate", "sample")
    network_arguments = ("sizes",)
    page = "vdsm_glass.play.page_vdsm.add"
    web = "vdsm_glass.web.vdsm.page"
    network: Net
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": reconstructed("its latents"),
        "swap": GenerationProtocol(
            lambda model, video, other, _: model.swap_pairs(video, other),
            about="another clip's identity",
            paired=False,
            needs_others=True,
        ),
        "prior": _sampled("prior", about="the prior"),
        "fitted": _sampled("fitted", about="a density fitted to the latents of training clips"),
    }

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> Net:
        return FrameVDSM(as_sizes(arguments["sizes"], Sizes))

    def frame_size(self, trained_on: tuple[int, int] | None) -> tuple[int, int]:  # noqa: ARG002
        return self.network.sizes.frame_size, self.network.sizes.frame_size

    @property
    def about(self) -> str:
        sizes = self.network.sizes
        return (
            f"VDSM takes a clip apart into an identity (s, {sizes.kappa_s} numbers) and a pose in every frame (z, "
            f"{sizes.kappa_z} numbers) [Vowels et al., arXiv 2103.07292]. This is its first stage: frames are "
            f"independent given the identity, and it cannot roll out.{self.drawn_from}"
        )

    @property
    def drawn_from(self) -> str:
        """A sentence about the density that `sample` draws from, if one was fitted."""
        if self.network.fitted is None:
            return ""
        return f" Clips of nobody in particular are drawn from {DENSITIES['fitted']}."

    @torch.no_grad()
    def encode(self, video: Source) -> Latents:
        """s, z and after stage 2 d of (b, t, ...) videos, on the model's device."""
        return self.network.encode(self.batch(video)[0])

    @torch.no_grad()
    def reconstruct(self, video: Source) -> Tensor:
        clips, one = self.batch(video)
        latents = self.network.encode(clips)
        return self.result(self.network.decode(latents.z, latents.s), one)

    @torch.no_grad()
    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        motion = self.encode(videos)
        who = motion if identities is None else self.encode(identities)
        return self.result(decode_grid(self.network, motion.z, who.s))

    @torch.no_grad()
    def swap_pairs(self, motions: Source, identities: Source) -> Tensor:
        """The poses of each video with the identity of the other of its pair: (b, t, 3, h, w)."""
        return self.result(self.network.decode(self.encode(motions).z, self.encode(identities).s))

    @torch.no_grad()
    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        if of != "identity":
            raise self.cannot(f"interpolate {of}")
        a, b = self.encode(source), self.encode(target)
        s = between(a.s[0], b.s[0], count=at_least(count, 2, "count"))
        return self.result(self.network.decode(repeat(a.z[:1], "1 t z -> n t z", n=count), s))

    @classmethod
    def carry(cls, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        if isinstance(network, Net):
            network.fitted = FittedPrior.from_tensors(tensors, network)
        else:
            super().carry(network, tensors)

    def carried(self) -> dict[str, Tensor]:
        return {} if self.network.fitted is None else self.network.fitted.tensors()

    @property
    def densities(self) -> tuple[Density, ...]:
        return ("prior",) if self.network.fitted is None else ("fitted", "prior")

    @torch.no_grad()
    def sample(
        self, count: int = 4, *, steps: int = 16, seed: int | torch.Generator = 0, density: Density | None = None
    ) -> Tensor:
        at_least(count, 1, "count")
        at_least(steps, 1, "steps")
        net, generator = self.network, self.generator(seed)
        fitted = None if density == "prior" else net.fitted
        if density == "fitted" and fitted is None:
            raise UserError(f"{NOT_FITTED}; draw from the prior")
        if fitted is None:
            s, z = net.sample_identity(count, generator), net.sample_poses(count, steps, generator)
        else:
            s, z = fitted.sample_identity(count, generator), fitted.sample_poses(net, count, steps, generator)
        return self.result(net.decode(z, s))


class VDSMModel(VDSMFramesModel):
    """VDSM after both stages."""

    title = "VDSM"
    can = ("reconstruct", "transfer", "swap", "rollout", "interpolate", "sample")
    network: SequenceVDSM
    protocols: ClassVar[dict[str, GenerationProtocol]] = VDSMFramesModel.protocols | {
        "transfer": transferred("its d on another clip's identity"),
        "rollout": GenerationProtocol(
            lambda model, video, *_: model.rollout(video, steps=max(LONG, video.shape[1])),
            about=f"the last of {LONG} frames of its d and s",
            paired=False,
        ),
    }

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> SequenceVDSM:
        return SequenceVDSM(as_sizes(arguments["sizes"], Sizes))

    @property
    def about(self) -> str:
        sizes = self.network.sizes
        return (
            f"VDSM takes a clip apart into an identity (s, {sizes.kappa_s} numbers), dynamics (d, "
            f"{sizes.kappa_d} numbers) and a pose in every frame (z, {sizes.kappa_z} numbers) [Vowels et al., arXiv "
            f"2103.07292]. This is its second stage, which has learned the dynamics.{self.drawn_from}"
        )

    @torch.no_grad()
    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        actions, identities, one = self.pairs(source, target)
        steps = actions.shape[1] if steps is None else at_least(steps, 1, "steps")
        z = self.network.rollout(self.network.dynamics(actions), steps=steps)
        return self.result(self.network.decode(z, self.network.frames.encode(identities).s), one)

    @torch.no_grad()
    def rollout(
        self,
        video: Source,
        *,
        steps: int = LONG,
        dynamics: Literal["posterior", "prior"] = "posterior",
        seed: int | None = None,
    ) -> Tensor:
        """`steps` frames of the video's d and s, far past the length seen in training.  [VDSM suppl. Fig. 4]"""
        clips, one = self.batch(video)
        generator = None if seed is None else self.generator(seed)
        d, s = self.network.dynamics(clips), self.network.frames.encode(clips).s
        z = self.network.rollout(d, steps=at_least(steps, 1, "steps"), dynamics=dynamics, generator=generator)
        return self.result(self.network.decode(z, s), one)

    @torch.no_grad()
    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        if of == "identity":
            return super().interpolate(source, target, count=count)
        clips = self.batch(source)[0]
        a, b = self.network.dynamics(clips[:1]), self.network.dynamics(self.batch(target)[0][:1])
        d = between(a[0], b[0], count=at_least(count, 2, "count"))
        s = self.network.frames.encode(clips[:1]).s.expand(count, -1)
        return self.result(self.network.decode(self.network.rollout(d, steps=clips.shape[1]), s))

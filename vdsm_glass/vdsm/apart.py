"""Terms of stage 1 that keep identity and poses apart, on top of the paper: clips are drawn with exchanged parts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from einops import rearrange
from torch import Tensor
from torch.distributions import kl_divergence
from torch.func import functional_call

from vdsm_glass.vdsm.densities import NormalParameters
from vdsm_glass.vdsm.elbo import Elbo
from vdsm_glass.vdsm.frames import FrameVDSM


@dataclass(frozen=True)
class ApartWeights:
    """λ of the terms of `apart_terms`; a term whose weight is 0 is not computed.

    Args: swapped_from, optimiser steps before which nothing is swapped: a decoder that draws everybody grey would teach
        the encoder that poses say nothing.
        gentle_until, optimiser steps before which no weight is above 1. Large weights from the start cost detail that
        does not come back.
    """

    pairs: float = 0.0
    swapped_s: float = 0.0
    swapped_z: float = 0.0
    swapped_from: int = 0
    gentle_until: int = 0

    def at(self, step: int) -> dict[str, float]:
        """The weights of the terms that are computed at an optimiser step."""
        names = ("pairs", "swapped_s", "swapped_z") if step >= self.swapped_from else ("pairs",)
        most = 1.0 if step < self.gentle_until else math.inf
        return {name: min(weight, most) for name, weight in asdict(self).items() if name in names and weight}


def apart_terms(net: FrameVDSM, video: Tensor, elbo: Elbo, *, wanted: set[str]) -> dict[str, Tensor]:
    """The terms that are wanted, nats per sequence; none is in the paper. Distances are `apartness`.

    `pairs`: q(s) of the second half of a clip is to be that of the frames from which s was inferred. Where the halves
    are two actions of one character, q(s) can then say only what does not depend on the action.

    `swapped_s`: clips are drawn with the identity of another clip of the batch, whose q(s) that of the drawing is to
    be. The encoder that looks at the drawing is fixed. The decoder learns to take identity from s alone, and poses not
    to tell it.

    `swapped_z`: the poses of such drawings are to be those that they were drawn with. The encoder alone learns from it.
    A drawing does not show the identity that its poses came from, so q(z_t) has to leave identity out.

    Args: video (b, t, 3, h, w) in [0, 1]; elbo of it.
    """
    steps = video.shape[1]
    s, z = elbo.posteriors["s"], elbo.posteriors["z"]
    terms: dict[str, Tensor] = {}
    if "pairs" in wanted:
        later, _ = net.encoder(video[:, steps // 2 :])
        terms["pairs"] = apartness(normal(s), later)
    if wanted & {"swapped_s", "swapped_z"}:
        # Every other frame is half of the work, and shows both actions of a pair.
        poses = rearrange(elbo.latents["z"], "t b z -> b t z")[:, ::2]
        drawn = net.decode(poses, elbo.latents["s"].roll(1, dims=0))
    if "swapped_s" in wanted:
        target = NormalParameters(*(each.detach().roll(1, dims=0) for each in normal(s)))
        fixed = {name: each.detach() for name, each in net.encoder.named_parameters()}
        found, _ = functional_call(net.encoder, fixed, (drawn,))
        terms["swapped_s"] = apartness(target, found)
    if "swapped_z" in wanted:
        target = NormalParameters(*(rearrange(each, "t b z -> b t z")[:, ::2] for each in normal(z)))
        _, found = net.encoder(drawn.detach())
        terms["swapped_z"] = apartness(target, found) * steps / poses.shape[1]
    return terms


def apartness(p: NormalParameters, q: NormalParameters) -> Tensor:
    """(KL(p ‖ q) + KL(q ‖ p)) / 2, a mean over sequences.  Args: (b, ..., n) each."""
    dims = p.loc.dim() - 1
    one, other = p.distribution(dims), q.distribution(dims)
    return (kl_divergence(one, other) + kl_divergence(other, one)).mean() / 2


def normal(q: Any) -> NormalParameters:
    """The parameters of a site of the guide, an `Independent` of a `Normal`."""
    return NormalParameters(loc=q.base_dist.loc, scale=q.base_dist.scale)

"""The part of stage 1, on top of the paper, in which nothing but q(s) is learned: clips have to be told apart by s."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import kl_divergence

from vdsm_glass.vdsm.densities import NormalParameters
from vdsm_glass.vdsm.frames import FrameVDSM


@dataclass(frozen=True)
class Contrast:
    """How stage 1 begins.

    Args:
        steps: optimiser steps in which q(s) alone is learned, by `contrast_terms`; it stays as it is from then on. With
            0, the default, there is no such part.
        told: weight of the term of that name.
        kl_s: weight of KL_s beside it.
        drawn: clips of a batch that are used afterwards, the first ones; None uses all. Telling clips apart wants many
            of them, and drawing does not.
    """

    steps: int = 0
    told: float = 30.0
    kl_s: float = 0.1
    drawn: int | None = None

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss of this part.  Args: terms, as `contrast_terms` gives them."""
        return self.told * terms["told"] + self.kl_s * terms["kl_s"]


def contrast_terms(net: FrameVDSM, video: Tensor) -> dict[str, Tensor]:
    """Nats per sequence. With `pair_actions` the halves of a clip show two actions of one character.

    `told`: s is drawn from q(s) of a frame of the first half, and the clip has to be found by the density of s under
    q(s) of a frame of each clip's second half. At chance it is log b.

    `kl_s`: KL_s of that frame.

    Args: video (b, t, 3, h, w) in [0, 1].
    """
    middle = max(1, video.shape[1] // 2)
    first, second = (one_frame(half) for half in (video[:, :middle], video[:, -middle:]))
    one, other = net.encoder.identity_of(first), net.encoder.identity_of(second)
    kl_s = kl_divergence(one.distribution(), net.prior_s(video).distribution()).mean()
    return {"told": told(one, other), "kl_s": kl_s}


def told(one: NormalParameters, other: NormalParameters) -> Tensor:
    """-log of the share that the right clip has of the densities of s.  Args: (b, s) each, of the same clips."""
    s = one.distribution().rsample()
    density = other.distribution().log_prob(s[:, None])
    return F.cross_entropy(density, torch.arange(len(s), device=s.device))


def one_frame(video: Tensor) -> Tensor:
    """A frame of each clip by chance.  Args: video (b, t, 3, h, w).   Returns: (b, 1, 3, h, w)."""
    b, t = video.shape[:2]
    clips = torch.arange(b, device=video.device)
    return video[clips, torch.randint(t, (b,), device=video.device)][:, None]

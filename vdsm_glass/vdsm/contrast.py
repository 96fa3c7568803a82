"""The part of stage 1, on top of the paper, in which nothing but q(s) is learned: clips have to be told apart by s."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass.vdsm.densities import SMALLEST_SCALE
from vdsm_glass.vdsm.frames import FrameVDSM

RIDGE = 1e-4
"""What is added to every variance before it is divided by, as a share of the mean variance."""
KEPT = 0.9
"""Share of the moments of s that one step keeps."""


@dataclass(frozen=True)
class Contrast:
    """How stage 1 begins.

    Args:
        steps: optimiser steps in which q(s) alone is learned, by `told_apart`; it stays as it is from then on. With 0,
            the default, there is no such part. Some hundreds: where s lies in the end is a mean over the last ten.
        learning_rate: in these steps; it falls over the second half.
        width: how far apart clips have to be to count as apart, in standard deviations of s over clips.
        drawn: clips of a batch that are used afterwards, the first ones; None uses all. Telling clips apart wants many
            of them, and drawing does not.
    """

    steps: int = 0
    learning_rate: float = 2e-3
    width: float = 1.0
    drawn: int | None = None


def told_apart(one: Tensor, other: Tensor, *, width: float, identity: Tensor | None = None) -> Tensor:
    """-log of the share that the right clip has among all clips, a mean over clips and both ways; at chance log b.

    s of one frame of a clip has to find s of another frame of the clip by exp(-|s - s'|² / 2 width²), in coordinates
    in which s has no correlations and variance 1 over the batch. Without these coordinates s has as few dimensions as
    will do, and a decoder can make little of it.

    Args: one, other (b, s), of two frames of the same clips; b > s. identity (b,): clips of one identity do not have to
    be told apart; -1 is unknown.
    Source: van den Oord et al., arXiv 1807.03748 (the share); Ermolov et al., arXiv 2007.06346 (the coordinates).
    """
    both = torch.cat([one, other])
    centred = both - both.mean(dim=0)
    factor = torch.linalg.cholesky(with_ridge(centred.T @ centred / len(both)))
    one, other = torch.linalg.solve_triangular(factor, centred.T, upper=False).T.chunk(2)
    closeness = -torch.cdist(one, other).square() / (2 * width**2)
    if identity is not None:
        alike = (identity[:, None] == identity) & (identity >= 0)
        closeness = closeness.masked_fill(alike.fill_diagonal_(False), -math.inf)
    return info_nce(closeness)


def info_nce(likeness: Tensor) -> Tensor:
    """-½ mean_i (log softmax_j(l_ij)_i + log softmax_j(l_ji)_i), InfoNCE both ways.

    Args: likeness (n, n), of the views of n clips: row i and column i are of one clip.   Returns: a scalar >= 0.
    """
    right = torch.arange(len(likeness), device=likeness.device)
    return (F.cross_entropy(likeness, right) + F.cross_entropy(likeness.T, right)) / 2


def with_ridge(covariance: Tensor) -> Tensor:
    """The covariance (s, s), safe to divide by."""
    return covariance + (RIDGE * covariance.trace() / len(covariance) + 1e-12) * torch.eye(
        len(covariance), dtype=covariance.dtype, device=covariance.device
    )


class IdentityContrast(nn.Module):
    """Learns q(s) by `told_apart`, remembers how s lies, and in the end puts it where the decoder wants it.

    Its tensors are in the checkpoint, so that a run can be resumed at any step.
    """

    mean: Tensor
    covariance: Tensor
    within: Tensor
    seen: Tensor
    settled: Tensor

    def __init__(self, options: Contrast, net: FrameVDSM) -> None:
        super().__init__()
        self.options = options
        size = net.sizes.kappa_s
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("covariance", torch.zeros(size, size))
        self.register_buffer("within", torch.zeros(size, size))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))

    def rate(self, step: int) -> float:
        """The learning rate at a step of this part."""
        return self.options.learning_rate * min(1.0, 2 - 2 * step / self.options.steps)

    def terms(self, net: FrameVDSM, video: Tensor, identity: Tensor | None = None) -> dict[str, Tensor]:
        """`told`, nats per clip. With `pair_actions` the halves of a clip show two actions of one character.

        Args: video (b, t, 3, h, w) in [0, 1], of more clips than s has numbers; identity (b,), see `told_apart`.
        Raises: UserError, there are fewer clips.
        """
        b, t = video.shape[:2]
        if b <= net.sizes.kappa_s:
            raise UserError(
                f"clips are told apart by {net.sizes.kappa_s} numbers, which takes more clips than that in a batch; "
                f"set data.init_args.batch_size, now {b}, to at least {4 * net.sizes.kappa_s}"
            )
        middle = max(1, t // 2)
        both = torch.cat([one_frame(half) for half in (video[:, :middle], video[:, -middle:])])
        with torch.autocast(device_type=video.device.type, enabled=False):
            one, other = net.encoder.identity_of(both).loc.chunk(2)
            self.remember(one.detach(), other.detach())
            return {"told": told_apart(one, other, width=self.options.width, identity=identity)}

    @torch.no_grad()
    def remember(self, one: Tensor, other: Tensor) -> None:
        """Adds s of two frames of some clips to the moments.  Args: (b, s) each."""
        both = torch.cat([one, other])
        centred, apart = both - both.mean(dim=0), (one - other) / math.sqrt(2)
        self.seen.add_(1)
        share = torch.clamp(1 / self.seen, min=1 - KEPT)
        self.mean.lerp_(both.mean(dim=0), share)
        self.covariance.lerp_(centred.T @ centred / len(both), share)
        self.within.lerp_(apart.T @ apart / len(one), share)

    @torch.no_grad()
    def settle(self, net: FrameVDSM, mean: Tensor, covariance: Tensor, within: Tensor) -> None:
        """Changes the last layers of q(s): s over clips gets mean and covariance of the prior.

        The scale of q(s) becomes the deviation of s between frames of one clip, the same for all clips.

        Args: mean (s,), covariance (s, s), and that within a clip (s, s), means over all processes.
        """
        mean, covariance, within = (each.double() for each in (mean, covariance, within))
        variances, directions = torch.linalg.eigh(with_ridge(covariance))
        turn = directions @ torch.diag(variances.rsqrt()) @ directions.T / net.sizes.kappa_s
        scale = (turn @ within @ turn.T).diagonal().clamp_min(0).sqrt().clamp_min(10 * SMALLEST_SCALE)
        loc, width = net.encoder.identity_loc, net.encoder.identity_scale
        loc.weight.copy_(turn @ loc.weight.double())
        loc.bias.copy_(turn @ (loc.bias.double() - mean))
        width.weight.zero_()
        width.bias.copy_((scale - SMALLEST_SCALE).expm1().log())  # the inverse of `positive`
        self.settled.fill_(True)


def one_frame(video: Tensor) -> Tensor:
    """A frame of each clip by chance.  Args: video (b, t, 3, h, w).   Returns: (b, 1, 3, h, w)."""
    b, t = video.shape[:2]
    clips = torch.arange(b, device=video.device)
    return video[clips, torch.randint(t, (b,), device=video.device)][:, None]

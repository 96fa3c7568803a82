"""Heads that give the two parameters of a Normal."""

from __future__ import annotations

from typing import NamedTuple

import pyro.distributions as dist
import torch.nn.functional as F
from torch import Tensor

SMALLEST_SCALE = 1e-4


class NormalParameters(NamedTuple):
    """Location and scale, of one shape; scale > 0."""

    loc: Tensor
    scale: Tensor

    def distribution(self, event_dims: int = 1) -> dist.TorchDistribution:
        """N(loc, scale²), the last `event_dims` dimensions being one event."""
        return dist.Normal(loc=self.loc, scale=self.scale).to_event(event_dims)


def positive(raw: Tensor) -> Tensor:
    """softplus, above 1e-4 and in float32: in bfloat16 a small scale would round to nothing, its log to -inf."""
    return F.softplus(raw.float()) + SMALLEST_SCALE


def split_normal(raw: Tensor) -> NormalParameters:
    """The halves of `raw` (..., 2n) as location and scale, each (..., n)."""
    loc, scale = raw.chunk(2, dim=-1)
    return NormalParameters(loc=loc.float(), scale=positive(scale))

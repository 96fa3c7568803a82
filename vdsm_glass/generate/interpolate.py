"""Interpolate: from one identity, or one motion, to another."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor

from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM


def between(a: Tensor, b: Tensor, *, count: int) -> Tensor:
    """`count` points on the segment from a to b, both ends included.  Args: a, b (n,).   Returns: (count, n)."""
    share = torch.linspace(0, 1, count, device=a.device).unsqueeze(dim=1)
    return torch.lerp(a.unsqueeze(dim=0), b.unsqueeze(dim=0), share)


@torch.no_grad()
def interpolate_identity(net: FrameVDSM | SequenceVDSM, motion: Latents, a: Tensor, b: Tensor, *, count: int) -> Tensor:
    """One motion, performed by identities from a to b.

    Args: motion, latents of one sequence; a, b (s,).   Returns: (count, t, 3, h, w) in [0, 1].
    """
    return net.decode(repeat(motion.z, "1 t z -> n t z", n=count), between(a, b, count=count))


@torch.no_grad()
def interpolate_dynamics(net: SequenceVDSM, s: Tensor, a: Tensor, b: Tensor, *, count: int, steps: int) -> Tensor:
    """One identity, performing dynamics from a to b.

    Args: s (s,); a, b (d,).   Returns: (count, steps, 3, h, w) in [0, 1].
    """
    z = net.rollout(between(a, b, count=count), steps=steps)
    return net.decode(z, repeat(rearrange(s, "s -> 1 s"), "1 s -> n s", n=count))

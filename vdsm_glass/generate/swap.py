"""Swap: the motion of one clip with the identity of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor

from vdsm_glass.vdsm.frames import Latents

if TYPE_CHECKING:
    from vdsm_glass.vdsm.frames import FrameVDSM
    from vdsm_glass.vdsm.sequences import SequenceVDSM


@torch.no_grad()
def swap(net: FrameVDSM | SequenceVDSM, motion: Latents, identity: Latents) -> Tensor:
    """Pair by pair: z (and with it d) of `motion`, s of `identity`.

    Args: latents of b sequences each.   Returns: (b, t, 3, h, w) in [0, 1].
    """
    return net.decode(motion.z, identity.s)


@torch.no_grad()
def swap_grid(net: FrameVDSM | SequenceVDSM, motion: Latents, identity: Latents) -> Tensor:
    """Everybody doing everything: row i has the identity i, column j the motion j.  [VDSM suppl. Fig. 5-9]

    Args: motion, latents of m sequences; identity, of n.   Returns: (n, m, t, 3, h, w) in [0, 1].
    """
    n, m = len(identity.s), len(motion.z)
    z = repeat(motion.z, "m t z -> (n m) t z", n=n)
    s = repeat(identity.s, "n s -> (n m) s", m=m)
    return rearrange(net.decode(z, s), "(n m) t c h w -> n m t c h w", n=n)

"""Transfer and roll out: dynamics d unfolded anew, as far as wanted, on any identity."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vdsm_glass.generate.swap import swap_grid
from vdsm_glass.vdsm.latents import Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM


@torch.no_grad()
def rollout(
    net: SequenceVDSM,
    d: Tensor,
    s: Tensor,
    *,
    steps: int,
    dynamics: Literal["posterior", "prior"] = "posterior",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`steps` frames of the dynamics d on the identity s, far past the length seen in training.  [VDSM suppl. Fig. 4]

    Args: d (b, d); s (b, s); dynamics, see `SequenceVDSM.rollout`.   Returns: (b, steps, 3, h, w) in [0, 1].
    """
    return net.decode(net.rollout(d, steps=steps, dynamics=dynamics, generator=generator), s)


@torch.no_grad()
def transfer(net: SequenceVDSM, actions: Tensor, identities: Tensor, *, steps: int | None = None) -> Tensor:
    """The actions of some clips performed by the identities of others.  [VDSM suppl. Fig. 5-9]

    Args: actions (m, t, 3, h, w) and identities (n, t', 3, h, w) in [0, 1]; steps, frames to draw, t by default.
    Returns: (n, m, steps, 3, h, w) in [0, 1]; row i has the identity i, column j the action j.
    """
    d = net.dynamics(actions)
    z = net.rollout(d, steps=steps or actions.shape[1])
    who = net.frames.encode(identities)
    return swap_grid(net, motion=Latents(s=who.s[:0], z=z, d=d), identity=who)

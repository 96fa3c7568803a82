"""Transfer and roll out: what happens in one clip happening to somebody else, or for longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from einops import rearrange, repeat
from torch import Tensor

from vdsm_glass.generate.swap import swap_grid
from vdsm_glass.glass.animation import animate, infer
from vdsm_glass.glass.net import GLASS
from vdsm_glass.vdsm.frames import Latents

if TYPE_CHECKING:
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
def transfer(net: SequenceVDSM | GLASS, actions: Tensor, identities: Tensor, *, steps: int | None = None) -> Tensor:
    """The actions of some clips performed by the identities of others.  [VDSM suppl. Fig. 5-9; GLASS Figs. 5, 11, 12]

    VDSM unfolds d for as long as it is asked to. GLASS animates the identities' first frames, animate(y_1, infer(x)):
    other frames of them are not looked at, and it goes on for as long as there are actions.

    Args: actions (m, t, 3, h, w) and identities (n, t', 3, h, w) in [0, 1]; steps, frames to draw, t by default.
    Returns: (n, m, steps, 3, h, w) in [0, 1]; row i has the identity i, column j the action j.
    Raises: ValueError, GLASS is asked for more than t frames.
    """
    steps = actions.shape[1] if steps is None else steps
    if not isinstance(net, GLASS):
        z = net.rollout(d := net.dynamics(actions), steps=steps)
        who = net.frames.encode(identities)
        return swap_grid(net, motion=Latents(s=who.s[:0], z=z, d=d), identity=who)
    if steps > actions.shape[1]:
        raise ValueError(f"{steps} frames are asked for, but the clips with the actions have {actions.shape[1]}")
    n, m = len(identities), len(actions)
    found = infer(net, actions).actions.map(lambda value: repeat(value[:, : steps - 1], "m ... -> (n m) ...", n=n))
    first = repeat(identities[:, 0], "n ... -> (n m) ...", m=m)
    return rearrange(animate(net, first, found).video, "(n m) t c h w -> n m t c h w", n=n)

"""Action matrices: what each local action, and each shift, does to several first frames.  [GLASS Figs. 7, 13-18]"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor

from vdsm_glass.glass.animation import ActionSequence, Animation, animate
from vdsm_glass.glass.net import GLASS

SHIFTS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1), "stay": (0, 0)}
"""The columns of a matrix of global actions, in the paper's order: (x, y), x to the right and y down."""

STEPS = 8


def local_actions(net: GLASS, first: Tensor, *, steps: int = STEPS) -> Tensor:
    """Each of the K local actions, held while nothing shifts.  [GLASS appendix D, Figs. 16-18]

    Args: first (n, 3, h, w) in [0, 1].   Returns: (n, K, steps + 1, 3, h, w), the first frames included.
    """
    k = len(net.lma.codes)
    return hold(net, first, torch.arange(k), torch.zeros(k, 2), steps=steps).video


def global_actions(net: GLASS, first: Tensor, *, pixels: float, local_action: int = 0, steps: int = STEPS) -> Tensor:
    """Each of the `SHIFTS`, held with one local action.  [GLASS appendix D, Figs. 13-15]

    Args: first (n, 3, h, w) in [0, 1]; pixels that the foreground is told to move in a step; local_action in [0, K).
    Returns: (n, 5, steps + 1, 3, h, w), the first frames included.
    """
    return shifted(net, first, pixels=pixels, local_action=local_action, steps=steps).video


def overlay(net: GLASS, first: Tensor, *, pixels: float, local_action: int = 0) -> Tensor:
    """Where each of the `SHIFTS` takes the foreground: before it in green, after it in red.  [GLASS Fig. 7]

    What has not moved is yellow.

    Args: as `global_actions`.   Returns: (n, 5, 3, h, w) in [0, 1].
    """
    moved = shifted(net, first, pixels=pixels, local_action=local_action, steps=1)
    # Over black, brightness is what the mask leaves of the foreground's own.
    light = ((moved.foreground + 1) / 2 * moved.mask).clamp(0, 1).mean(dim=-3)
    before, after = light.unbind(dim=2)
    return torch.stack([after, before, torch.zeros_like(before)], dim=2)


def shifted(net: GLASS, first: Tensor, *, pixels: float, local_action: int, steps: int) -> Animation:
    """What `global_actions` and `overlay` show.  Raises: ValueError, there is no such local action."""
    k = len(net.lma.codes)
    if not 0 <= local_action < k:
        raise ValueError(f"local_action is {local_action}, expected 0 to {k - 1}: the network has {k}")
    shifts = pixels * torch.tensor(list(SHIFTS.values()), dtype=torch.float32)
    return hold(net, first, torch.full((len(shifts),), local_action), shifts, steps=steps)


def hold(net: GLASS, first: Tensor, local_action: Tensor, foreground_shift: Tensor, *, steps: int) -> Animation:
    """Every first frame under each of m actions, held for `steps`, before a background that stays.

    Args: first (n, 3, h, w) in [0, 1]; local_action (m,) int64; foreground_shift (m, 2) in pixels.
    Returns: an animation of (n, m, steps + 1, ...).
    """
    n, m = len(first), len(local_action)
    shift = repeat(foreground_shift.to(first), "m xy -> (n m) t xy", n=n, t=steps)
    actions = ActionSequence(
        foreground_shift=shift,
        local_action=repeat(local_action.to(first.device), "m -> (n m) t", n=n, t=steps),
        background_shift=torch.zeros_like(shift),
    )
    drawn = animate(net, repeat(first, "n ... -> (n m) ...", m=m), actions)
    return Animation(*(rearrange(part, "(n m) ... -> n m ...", m=m) for part in vars(drawn).values()))

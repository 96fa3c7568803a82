"""GLASS whole: both analyses as one network."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.glass.gma import GMA, Foregrounds
from vdsm_glass.glass.lma import LMA
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.glass.window import around_agents, pasted, places


class GLASS(nn.Module):
    """Global and local motion analysis.  [GLASS section 3]

    Args:
        gma, lma: widths and variants of each.
        theta: share of the frame that masks cover on average.
        shifts_from_inpainted: see `GMA`.
        checkpoint_gradients: see `LMA`.
    """

    def __init__(
        self,
        *,
        gma: GMASizes,
        lma: LMASizes,
        theta: float,
        shifts_from_inpainted: bool = False,
        checkpoint_gradients: bool = False,
    ) -> None:
        super().__init__()
        self.gma = GMA(gma, theta=theta, shifts_from_inpainted=shifts_from_inpainted)
        self.lma = LMA(lma, checkpoint=checkpoint_gradients)

    def seen_by_lma(self, foregrounds: Foregrounds) -> Foregrounds:
        """Foregrounds of whole frames as LMA sees them: in windows, if it works in windows."""
        side = self.lma.sizes.window
        return around_agents(foregrounds, side=side) if side else foregrounds

    def rollout(self, foregrounds: Foregrounds, *, T_f: int) -> Tensor:
        """LMA's foregrounds and masks of frames 2..T in the frame, (b, t-1, 4, h, w).  Args: as `LMA.forward`."""
        seen = self.seen_by_lma(foregrounds)
        drawn = self.lma(seen.f, seen.f_moved, seen.delta_F, T_f=T_f, m=seen.m)
        layers = torch.cat([drawn.frames[-1], drawn.mask], dim=2)
        if not self.lma.sizes.window:
            return layers
        b, _, _, height, width = foregrounds.f.shape
        at = rearrange(places(foregrounds.m[:, 0], foregrounds.delta_F)[:, 1:], "b t xy -> (b t) xy")
        there = pasted(rearrange(layers, "b t c h w -> (b t) c h w"), at, height=height, width=width)
        return rearrange(there, "(b t) c h w -> b t c h w", b=b)

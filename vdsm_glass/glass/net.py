"""GLASS whole: both analyses as one network."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call

from vdsm_glass.glass.gma import GMA, Foregrounds
from vdsm_glass.glass.lma import LMA, Rollout
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.glass.window import around_agents, pasted, places
from vdsm_glass.layers.blocks import frozen_statistics


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
        return self.in_frame(self.lma(seen.f, seen.f_moved, seen.delta_F, T_f=T_f, m=seen.m), foregrounds)

    def in_frame(self, drawn: Rollout, foregrounds: Foregrounds) -> Tensor:
        """Foregrounds and masks that LMA drew, where they are in the frame, (b, t-1, 4, h, w).

        Args: foregrounds, in whole frames, from which they were drawn.
        """
        layers = torch.cat([drawn.frames[-1], drawn.mask], dim=2)
        if not self.lma.sizes.window:
            return layers
        b, _, _, height, width = foregrounds.f.shape
        at = rearrange(places(foregrounds.m[:, 0], foregrounds.delta_F)[:, 1:], "b t xy -> (b t) xy")
        there = pasted(rearrange(layers, "b t c h w -> (b t) c h w"), at, height=height, width=width)
        return rearrange(there, "(b t) c h w -> b t c h w", b=b)

    def found_again(self, drawn: Rollout, foregrounds: Foregrounds, video: Tensor) -> tuple[Tensor, Tensor]:
        """Where M finds drawn figures in front of real backgrounds, and where it found the real ones.

        Not in the paper. Errors of colours and masks are least where a limb that may be here or there is drawn as the
        mean of both, and M does not find that. M's opinion is worth more than a further loss on m̂: it looks at colours
        and mask together, as they are seen. One frame of each clip is looked at, at random. M has no gradient.

        Args: drawn from foregrounds, in whole frames, of video (b, t, 3, h, w) in [-1, 1].
        Returns: two masks, (b, 1, h, w) in [0, 1].
        """
        clips = torch.arange(len(video), device=video.device)
        steps = torch.randint(video.shape[1] - 1, (len(video),), device=video.device)
        f, m = self.in_frame(drawn, foregrounds)[clips, steps].split([3, 1], dim=1)
        frames, real = video[clips, steps + 1], foregrounds.m[clips, steps + 1]
        with torch.no_grad():
            background = self.gma.inpaint(frames, real)
        fixed = {name: each.detach() for name, each in self.gma.M.named_parameters()}
        with frozen_statistics(self.gma.M):
            found = functional_call(self.gma.M, fixed, (f * m + background * (1 - m),))
        return found, real

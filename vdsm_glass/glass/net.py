"""GLASS whole: both analyses as one network."""

from __future__ import annotations

from torch import nn

from vdsm_glass.glass.gma import GMA, Foregrounds
from vdsm_glass.glass.lma import LMA
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.glass.window import around_agents


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

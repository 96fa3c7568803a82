"""What an action says by itself: the outline of the next foreground, in the middle of a small picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.glass.window import centred
from vdsm_glass.layers.blocks import SLOPE


class OutlineDecoder(nn.Sequential):
    """Logits of the outline of f_{t+1}, drawn from a_t alone.

    Not in the paper. A drawing from f_t and a_t together teaches little of what a_t should say, because f_t tells most
    of it, and that only late, when the drawing is good. An outline has no colours and no place, so that an action that
    tells it is one of posture.

    Args: sizes: `code_size`, and `outline`, the side of the picture.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__(
            nn.Linear(in_features=sizes.code_size, out_features=sizes.action_channels),
            nn.LeakyReLU(negative_slope=SLOPE),
            nn.Linear(in_features=sizes.action_channels, out_features=sizes.outline**2),
        )
        self.side = sizes.outline

    def forward(self, input: Tensor) -> Tensor:
        """Args: input, actions a_t (b, t, code_size).   Returns: logits (b, t, side, side)."""
        return rearrange(super().forward(input), "b t (h w) -> b t h w", h=self.side)


@torch.no_grad()
def outlines(m: Tensor, *, side: int) -> Tensor:
    """Masks m (b, t, 1, h, w) in [0, 1], each with its agent in the middle, as small pictures (b, t, side, side)."""
    masks = rearrange(m, "b t c h w -> (b t) c h w")
    small = F.adaptive_avg_pool2d(centred(masks, masks), output_size=side)
    return rearrange(small, "(b t) 1 h w -> b t h w", b=len(m))

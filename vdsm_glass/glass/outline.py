"""What an action says by itself: outline and edges of the next foreground, in the middle of a small picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.glass.window import centred
from vdsm_glass.layers.blocks import SLOPE

MEAN_EDGE = 0.25
"""The mean of a picture of edges, so that figures of strong and of weak contrast count alike."""


class OutlineDecoder(nn.Sequential):
    """Logits of the outline of f_{t+1}, drawn from a_t alone.

    Not in the paper. A drawing from f_t and a_t together teaches little of what a_t should say, because f_t tells most
    of it, and that only late, when the drawing is good. An outline has no colours and no place, so that an action that
    tells it is one of posture. From the side, outlines are much the same to the left and to the right; edges within
    them tell the two apart, and with `LMASizes.edges` a second such network draws those.

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


@torch.no_grad()
def edges(f: Tensor, m: Tensor, *, side: int) -> Tensor:
    """How strong edges within agents are, as small pictures (b, t, side, side), at most 2.

    The mean is `MEAN_EDGE` where nothing exceeds 2. The outline itself is left out, and the colours on both sides of an
    edge are not told.

    Args: f (b, t, 3, h, w) foregrounds, m (b, t, 1, h, w) in [0, 1] their masks.
    """
    figures, masks = (rearrange(part, "b t c h w -> (b t) c h w").float() for part in (f, m))
    across, down = (
        F.pad(reduce(figures.diff(dim=axis).abs(), "n c h w -> n 1 h w", "sum"), pad=pad)
        for axis, pad in ((3, (0, 1)), (2, (0, 0, 0, 1)))
    )
    within = -F.max_pool2d(-masks, kernel_size=3, stride=1, padding=1)
    small = F.adaptive_avg_pool2d(centred((across + down) * within, masks), output_size=side)
    small = MEAN_EDGE * small / reduce(small, "n 1 h w -> n 1 1 1", "mean").clamp(min=1e-5)
    return rearrange(small.clamp(max=2), "(b t) 1 h w -> b t h w", b=len(f))

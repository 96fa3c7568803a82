"""What an action says by itself: the outline of the next foreground, in the middle of a small picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import SLOPE

REACH = 2.2
"""Side of the window around an agent, in roots of its area."""
SAMPLES = 2
"""Points a pixel of the small picture, each way."""


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


def windows(pictures: Tensor, m: Tensor, *, side: int) -> Tensor:
    """What surrounds the agents, each in the middle, all at one scale, small.

    Args: pictures (n, c, h, w); m (n, 1, h, w) in [0, 1], the agents' masks; side in pixels of the result.
    Returns: (n, c, side, side); without gradient to where the agents are.
    """
    n, _, h, w = m.shape
    m = m.detach().float()
    area = reduce(m, "n 1 h w -> n", "sum").clamp(min=1)
    reach = REACH * area.mean().sqrt()
    across = (torch.arange(w, device=m.device) + 0.5) * 2 / w - 1
    down = (torch.arange(h, device=m.device) + 0.5) * 2 / h - 1
    middle = torch.stack([reduce(m[:, 0] * at, "n h w -> n", "sum") / area for at in (across, down[:, None])], dim=1)
    # In grid units, where 2 is the whole width or height.
    scale = torch.diag_embed(torch.stack([reach / w, reach / h])).expand(n, 2, 2)
    theta = torch.cat([scale, middle[:, :, None]], dim=2)
    grid = F.affine_grid(theta, size=[n, 1, side, side], align_corners=False)
    return F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@torch.no_grad()
def outlines(m: Tensor, *, side: int) -> Tensor:
    """Masks m (b, t, 1, h, w) in [0, 1] as their `windows`, (b, t, side, side) in [0, 1]."""
    masks = rearrange(m, "b t c h w -> (b t) c h w")
    seen = windows(masks, masks, side=SAMPLES * side)
    return reduce(seen, "(b t) 1 (h i) (w j) -> b t h w", "mean", b=len(m), i=SAMPLES, j=SAMPLES)

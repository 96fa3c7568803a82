"""M, the network that finds the foreground."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.blocks import Residual, Same, Up


class MaskNetwork(nn.Module):
    """m = M(I), where the foreground is.  [GLASS section 3.1, Fig. 9]

    The last bias starts at logit(θ): with masks that start near one half, GMA falls into covering half of the frame
    and stays there.

    Args:
        sizes: widths.
        theta: share of the frame that masks cover on average, as in Eq. (2).
    """

    def __init__(self, sizes: GMASizes, *, theta: float) -> None:
        super().__init__()
        stem, body = sizes.mask_channels
        self.body = nn.Sequential(
            Same(3, stem, bias=True),
            Residual(stem, body, down=2),
            Residual(body, body, down=2),
            *(Residual(body, body) for _ in range(sizes.mask_blocks)),
            Up(body, stem),
            Residual(stem, stem),
            Up(stem, stem),
            Residual(stem, stem),
        )
        self.head = nn.Conv2d(in_channels=stem, out_channels=1, kernel_size=3, padding=1)
        with torch.no_grad():
            self.head.bias.fill_(math.log(theta / (1 - theta)))  # pyright: ignore[reportOptionalMemberAccess]

    def forward(self, frames: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> (n, 1, h, w) float32 in (0, 1)."""
        # In half precision 1 - m would be 1 for every m below 0.004, which is most of a background.
        return torch.sigmoid(self.head(self.body(frames)).float())

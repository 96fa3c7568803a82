"""N, the network that paints what the foreground hides."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.blocks import Same, Up

HOLE = -1.1
"""What masked pixels are filled with: a value that no picture has."""


class Inpainter(nn.Module):
    """N(b), a background without holes.  [GLASS section 3.1, Fig. 9]

    Args: sizes: widths.
    """

    def __init__(self, sizes: GMASizes) -> None:
        super().__init__()
        first, second, third = sizes.inpaint_channels
        self.layers = nn.Sequential(
            Same(3, first, down=2),
            Same(first, second, down=2),
            Same(second, second),
            Same(second, third, down=2),
            Same(third, third),
            Same(third, third),
            Up(third, second),
            Up(second, second),
            Up(second, first),
            nn.Conv2d(in_channels=first, out_channels=3, kernel_size=3, padding=1),
        )

    def forward(self, background: Tensor, mask: Tensor) -> Tensor:
        """N(b), with b's masked pixels at -1.1.

        Args: background (n, 3, h, w) in [-1, 1], 0 where masked; mask (n, 1, h, w).   Returns: (n, 3, h, w) in (-1, 1).
        """
        return torch.tanh(self.layers(background + HOLE * mask).float())

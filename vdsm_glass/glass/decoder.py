"""The decoder D: a foreground at three scales and its mask.  [GLASS section 3.2, Fig. 10]"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import Residual, Up


class Drawn(NamedTuple):
    """`frames` f̂ (n, 3, h_s, w_s) in [-1, 1], from a quarter of the resolution to all of it; `mask` m̂ (n, 1, h, w)."""

    frames: tuple[Tensor, Tensor, Tensor]
    mask: Tensor


class Decoder(nn.Module):
    """f̂_{t+1} = D_f(s_{t+1}), m̂_{t+1} = D_m(s_{t+1}).  [GLASS section 3.2]

    The size is doubled three times; after each a convolution (3x3, 3x3 and 7x7) and tanh give a frame. The last one has
    a fourth channel, which is the mask, scaled from [-1, 1] to [0, 1].
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        coarse, middle, fine = sizes.decoder_channels
        self.ups = nn.ModuleList(
            [
                nn.Sequential(Up(sizes.hidden, coarse), Residual(coarse, coarse)),
                nn.Sequential(Up(coarse, middle), Residual(middle, middle)),
                Up(middle, fine),
            ]
        )
        self.heads = nn.ModuleList(
            [head(coarse, 3, kernel_size=3), head(middle, 3, kernel_size=3), head(fine, 4, kernel_size=7)]
        )

    def forward(self, s: Tensor) -> Drawn:
        """Args: s (n, hidden, h / 8, w / 8).   Returns: frames and mask, float32 under autocast too."""
        pictures = []
        for up, to_picture in zip(self.ups, self.heads, strict=True):
            s = up(s)
            # Near 1, neighbouring values are 1/256 apart in bfloat16.
            pictures.append(torch.tanh(to_picture(s).float()))
        coarse, middle, fine = pictures
        return Drawn(frames=(coarse, middle, fine[:, :3]), mask=(fine[:, 3:] + 1) / 2)


def head(c_in: int, c_out: int, *, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(in_channels=c_in, out_channels=c_out, kernel_size=kernel_size, padding=kernel_size // 2)

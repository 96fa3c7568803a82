"""Convolution whose weights are scaled by a style.  [Karras et al. 2020, StyleGAN2, arXiv 1912.04958, section 2.2]"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vdsm_glass.layers.blocks import SLOPE, PooledConv

EPSILON = 1e-8


class ModulatedConv(nn.Module):
    """y_j = LeakyReLU(Σ_i w″_ij * x_i + b_j),  w″_ij = s_i w_ij / √(Σ_ip (s_i w_ijp)² + ε),  s = W_s v + 1.

    The style s comes from an embedding v. It scales input channels, and the norm scales output channels. So all samples
    share one convolution, whose inputs and outputs are scaled, and none needs a kernel of its own.

    With `down`, w is the 3x3 kernel averaged over the pooling window (see `PooledConv`), and the norm is that of the
    averaged kernel, so that the output has unit variance as it has without pooling. The norm and the bias take the
    place of the other blocks' batch norm.

    Args:
        c_in, c_out: channels.
        style_size: of the embedding v.
        down: factor by which height and width shrink.
    """

    def __init__(self, c_in: int, c_out: int, *, style_size: int, down: int = 1) -> None:
        super().__init__()
        self.conv = PooledConv(c_in, c_out, down=down)
        self.style = nn.Linear(in_features=style_size, out_features=c_in)
        nn.init.ones_(self.style.bias)
        self.bias = nn.Parameter(torch.zeros(c_out, 1, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Args: x (n, c_in, h, w); embedding v (n, style_size).   Returns: (n, c_out, h // down, w // down)."""
        s, scale = self.scales(embedding)
        y = self.conv(x * s[:, :, None, None].to(x.dtype))
        return F.leaky_relu(y * scale[:, :, None, None].to(y.dtype) + self.bias.to(y.dtype), negative_slope=SLOPE)

    def scales(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """s (n, c_in) and 1 / √(Σ_ip (s_i w_ijp)² + ε) (n, c_out), in float32 under autocast too."""
        with torch.autocast(device_type=embedding.device.type, enabled=False):
            s = self.style(embedding.float())
            power = self.conv.kernel().float().square().sum(dim=(2, 3))
            return s, torch.rsqrt(s.square() @ power.T + EPSILON)

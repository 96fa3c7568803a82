"""The convolutional blocks of GLASS.  [GLASS Figs. 9 and 10]

Unless said otherwise, convolutions are 3x3 with padding 1 and no bias, BN is batch norm, and LeakyReLU has slope 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SLOPE = 0.2
EPSILON = 1e-8


class PooledConv(nn.Conv2d):
    """Average pooling by `down` after a 3x3 convolution, computed as one strided convolution.

    Both are linear: together they are the convolution of stride `down` with the 3x3 kernel averaged over `down` x
    `down` offsets, which for 2 is 4x4 and takes 2.25 times fewer multiplications.

    Args:
        c_in, c_out: channels.
        down: factor by which height and width shrink.
        bias: add a learned constant to each channel.
    """

    def __init__(self, c_in: int, c_out: int, *, down: int = 1, bias: bool = False) -> None:
        super().__init__(in_channels=c_in, out_channels=c_out, kernel_size=3, padding=1, bias=bias)
        self.down = down

    def forward(self, input: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h // down, w // down)."""
        if self.down == 1:
            return super().forward(input)
        return F.conv2d(input, self.kernel(), bias=self.bias, stride=self.down, padding=1)

    def kernel(self) -> Tensor:
        """(c_out, c_in, 2 + down, 2 + down): the 3x3 kernel averaged over the pooling window."""
        if self.down == 1:
            return self.weight
        rim = self.down - 1
        return F.avg_pool2d(F.pad(self.weight, pad=(rim, rim, rim, rim)), kernel_size=self.down, stride=1)


class Same(nn.Sequential):
    """conv → average pooling by `down` → BN → LeakyReLU: (n, c_in, h, w) -> (n, c_out, h // down, w // down)."""

    def __init__(self, c_in: int, c_out: int, *, down: int = 1, bias: bool = False) -> None:
        super().__init__(
            PooledConv(c_in, c_out, down=down, bias=bias),
            nn.BatchNorm2d(num_features=c_out),
            nn.LeakyReLU(negative_slope=SLOPE, inplace=True),
        )


class Residual(nn.Module):
    """conv → average pooling → BN → LeakyReLU → conv → BN, plus the identity, then LeakyReLU.

    If the shape changes, the identity is replaced by average pooling, a 1x1 convolution and BN. Pooling before the 1x1
    convolution gives the same function as pooling after it, with less work.

    Args: c_in, c_out: channels. down: factor by which height and width shrink.
    """

    def __init__(self, c_in: int, c_out: int, *, down: int = 1) -> None:
        super().__init__()
        self.first = Same(c_in, c_out, down=down)
        self.second = nn.Sequential(PooledConv(c_out, c_out), nn.BatchNorm2d(num_features=c_out))
        self.skip = nn.Identity()
        if c_in != c_out or down != 1:
            self.skip = nn.Sequential(
                nn.AvgPool2d(kernel_size=down) if down != 1 else nn.Identity(),
                nn.Conv2d(in_channels=c_in, out_channels=c_out, kernel_size=1, bias=False),
                nn.BatchNorm2d(num_features=c_out),
            )
        self.activation = nn.LeakyReLU(negative_slope=SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) -> (n, c_out, h // down, w // down)."""
        return self.activation(self.second(self.first(x)) + self.skip(x))


class Up(nn.Sequential):
    """bilinear x2 → conv → BN → LeakyReLU; in the `late` form x2 comes last.  (n, c_in, h, w) -> (n, c_out, 2h, 2w)."""

    def __init__(self, c_in: int, c_out: int, *, late: bool = False) -> None:
        double = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        same = Same(c_in, c_out)
        super().__init__(*((same, double) if late else (double, same)))


def doublings(c_in: int, channels: tuple[int, int, int], *, beside: int = 0) -> nn.ModuleList:
    """Three parts of a decoder, of which each doubles the size; the first two end in a residual block.

    Args: channels, after each part; beside, channels that stand beside the input of every part.
    """
    coarse, middle, fine = channels
    return nn.ModuleList(
        [
            nn.Sequential(Up(c_in + beside, coarse), Residual(coarse, coarse)),
            nn.Sequential(Up(coarse + beside, middle), Residual(middle, middle)),
            Up(middle + beside, fine),
        ]
    )


class ModulatedConv(nn.Module):
    """y_j = LeakyReLU(Σ_i w″_ij * x_i + b_j),  w″_ij = s_i w_ij / √(Σ_ip (s_i w_ijp)² + ε),  s = W_s v + 1.

    A convolution whose weights are scaled by a style.  [Karras et al. 2020, StyleGAN2, arXiv 1912.04958, section 2.2]

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


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """A context in which batch norm in training leaves its running statistics and their counters as they are."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    unread = torch.zeros_like(norms[0].num_batches_tracked)  # pyright: ignore[reportArgumentType]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, unread
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count

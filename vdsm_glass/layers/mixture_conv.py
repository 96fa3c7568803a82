"""Transposed convolution whose weights are a mixture of experts, one mixture per sequence.  [VDSM suppl. section 3]"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

Method = Literal["auto", "grouped", "matmul"]


class BlendedWeights(NamedTuple):
    """W(s̃) and c(s̃): one set of weights per sequence, shared by all of its frames.

    `weight` (b, in, out, kh, kw); `bias` (b, out).
    """

    weight: Tensor
    bias: Tensor


class MixtureConvTranspose2d(nn.Module):
    """y_t = ConvTranspose2d(x_t; W(s̃), c(s̃)) with W(s̃) = Σ_k s̃_k W_k and c(s̃) = Σ_k s̃_k c_k.  [VDSM suppl. section 3]

    Not the experts' outputs are mixed but their parameters, so the cost of the convolution does not grow with the
    number of experts. `forward` blends by itself, or takes what `blend` returned: where the experts are frozen, blend
    under `torch.no_grad()`, and gradients still reach x.

    Args: experts k; in_channels, out_channels, kernel_size, stride, padding as in `nn.ConvTranspose2d`;
    method how the sequences of a batch are convolved with a weight each, `auto` being the fastest measured.
    """

    def __init__(
        self,
        *,
        experts: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 4,
        stride: int,
        padding: int,
        method: Method = "auto",
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = padding
        self.method = method
        self.weight = nn.Parameter(torch.empty(experts, in_channels, out_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(experts, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every expert starts as its own `nn.ConvTranspose2d` would: U(-r, r), r = 1 / sqrt(out kh kw)."""
        bound = 1.0 / math.sqrt(self.weight[0, 0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def blend(self, mixture: Tensor) -> BlendedWeights:
        """W(s̃) = Σ_k s̃_k W_k as one matrix product.  Args: mixture s̃ (b, k), rows on the simplex."""
        # The product is bound by memory: casting every expert first, as autocast would, moves more bytes than it saves.
        with torch.autocast(device_type=mixture.device.type, enabled=False):
            mixture = mixture.to(self.weight.dtype)
            weight = (mixture @ self.weight.flatten(start_dim=1)).unflatten(1, self.weight.shape[1:])
            return BlendedWeights(weight=weight, bias=mixture @ self.bias)

    def forward(self, x: Tensor, mixture: Tensor | BlendedWeights) -> Tensor:
        """Args: x (b, t, in, h, w); mixture s̃ (b, k), or what `blend` made of it.   Returns: (b, t, out, h', w')."""
        blended = self.blend(mixture) if isinstance(mixture, Tensor) else mixture
        convolve = _grouped if self.method == "grouped" else _matmul
        return convolve(x, blended, stride=self.stride, padding=self.padding)


def _grouped(x: Tensor, blended: BlendedWeights, *, stride: int, padding: int) -> Tensor:
    """Sequences as the groups of one transposed convolution, frames as its batch."""
    b = x.shape[0]
    y = F.conv_transpose2d(
        rearrange(x, "b t c h w -> t (b c) h w"),
        rearrange(blended.weight, "b i o kh kw -> (b i) o kh kw"),
        bias=rearrange(blended.bias, "b o -> (b o)"),
        stride=stride,
        padding=padding,
        groups=b,
    )
    return rearrange(y, "t (b o) h w -> b t o h w", b=b)


def _matmul(x: Tensor, blended: BlendedWeights, *, stride: int, padding: int) -> Tensor:
    """A matrix product per sequence gives every input pixel's kh x kw patch of the output; overlapping ones add up."""
    b, t, _, h, w = x.shape
    kernel = blended.weight.shape[-1]
    patches = torch.bmm(
        rearrange(blended.weight, "b i o kh kw -> b (o kh kw) i"), rearrange(x, "b t i h w -> b i (t h w)")
    )
    size = tuple((n - 1) * stride - 2 * padding + kernel for n in (h, w))
    y = F.fold(
        rearrange(patches, "b p (t l) -> (b t) p l", t=t), size, kernel_size=kernel, stride=stride, padding=padding
    )
    return rearrange(y, "(b t) o h w -> b t o h w", b=b) + rearrange(blended.bias, "b o -> b 1 o 1 1")

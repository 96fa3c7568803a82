"""Transposed convolution whose weights are a mixture of experts, one mixture per sequence.  [VDSM suppl. section 3]"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.layers.overlap_add import MatmulConvTranspose2d

Method = Literal["auto", "grouped", "matmul", "subpixel"]


class BlendedWeights(NamedTuple):
    """W(s̃) and c(s̃) of each sequence: `weight` (b, kh, kw, out, in); `bias` (b, out)."""

    weight: Tensor
    bias: Tensor


class MixtureConvTranspose2d(nn.Module):
    """y_t = ConvTranspose2d(x_t; W(s̃), c(s̃)) with W(s̃) = Σ_k s̃_k W_k and c(s̃) = Σ_k s̃_k c_k.  [VDSM suppl. section 3]

    The experts' parameters are mixed, not their outputs, so the cost of the convolution does not grow with the number
    of experts. `forward` calls `blend`, or takes its result: if the experts are frozen, it can be called under
    `torch.no_grad()`, and gradients still reach x.

    `weight` is (experts, kh, kw, out, in), so that after blending `matmul` multiplies by it without a copy. With
    `matmul` the result's memory is channels-last, as the next layer reads it, and elementwise functions keep that.

    Args: experts k; in_channels, out_channels, kernel_size, stride, padding as in `nn.ConvTranspose2d`, the kernel a
    multiple of the stride; method one of
        matmul    a matrix product per sequence gives each input pixel's patch of the output; overlapping patches add.
        grouped   sequences are the groups of one transposed convolution.
        subpixel  each phase of the output is an ordinary convolution with kernel / stride taps a side.
        auto      the fastest, which is matmul. On CPU the others take 1.5 to 1.7 times as long for VDSM's decoder at
                  Sprites' sizes (one thread, forward and backward, either stage; `benchmarks/decoder.py`); only on its
                  fourth layer grouped is as fast. On CUDA nothing has been measured; matmul has few launches there and
                  uses tensor cores.
    Raises: ValueError, the kernel is not a multiple of the stride, or there is no such method.
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
        if kernel_size % stride:
            raise ValueError(f"kernel_size {kernel_size} must be a multiple of stride {stride}")
        if method not in _CONVOLVE:
            raise ValueError(f"method is {method!r}, expected one of {', '.join(_CONVOLVE)}")
        self.stride = stride
        self.padding = padding
        self.method: Method = method
        self.weight = nn.Parameter(torch.empty(experts, kernel_size, kernel_size, out_channels, in_channels))
        self.bias = nn.Parameter(torch.empty(experts, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every expert starts as its own `nn.ConvTranspose2d` would: U(-r, r), r = 1 / sqrt(out kh kw)."""
        bound = 1.0 / math.sqrt(self.weight[0, ..., 0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def blend(self, mixture: Tensor) -> BlendedWeights:
        """W(s̃) = Σ_k s̃_k W_k as one matrix product.  Args: mixture s̃ (b, k), rows on the simplex."""
        # The product is bound by memory: casting every expert, as autocast would, moves more bytes than it saves.
        with torch.autocast(device_type=mixture.device.type, enabled=False):
            mixture = mixture.to(self.weight.dtype)
            weight = (mixture @ self.weight.flatten(start_dim=1)).unflatten(1, self.weight.shape[1:])
            return BlendedWeights(weight=weight, bias=mixture @ self.bias)

    def forward(self, x: Tensor, mixture: Tensor | BlendedWeights) -> Tensor:
        """Args: x (b, t, in, h, w); mixture s̃ (b, k), or what `blend` made of it.   Returns: (b, t, out, h', w')."""
        weight, bias = self.blend(mixture) if isinstance(mixture, Tensor) else mixture
        device_type = x.device.type
        if torch.is_autocast_enabled(device_type):
            dtype = torch.get_autocast_dtype(device_type)
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        return _CONVOLVE[self.method](x, weight, bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        experts, kernel, _, out_channels, in_channels = self.weight.shape
        return (
            f"experts={experts}, in_channels={in_channels}, out_channels={out_channels}, kernel_size={kernel}, "
            f"stride={self.stride}, padding={self.padding}, method={self.method!r}"
        )


def _matmul(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    y = MatmulConvTranspose2d.apply(rearrange(x, "b t i h w -> b t h w i"), weight, bias, stride, padding)
    return rearrange(y, "b t h w o -> b t o h w")


def _grouped(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    b = x.shape[0]
    y = F.conv_transpose2d(
        rearrange(x, "b t i h w -> t (b i) h w"),
        rearrange(weight, "b kh kw o i -> (b i) o kh kw"),
        bias=rearrange(bias, "b o -> (b o)"),
        stride=stride,
        padding=padding,
        groups=b,
    )
    return rearrange(y, "t (b o) h w -> b t o h w", b=b)


def _subpixel(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Y[s m + p] = Σ_q W[s q + p] x[m - q]: one convolution gives all s x s phases p, which are then interleaved."""
    b = x.shape[0]
    taps = rearrange(weight, "b (q p) (u v) o i -> (b o p v) i q u", p=stride, v=stride)
    y = F.conv2d(rearrange(x, "b t i h w -> t (b i) h w"), taps.flip((2, 3)), padding=taps.shape[-1] - 1, groups=b)
    y = rearrange(y, "t (b o p v) h w -> b t o (h p) (w v)", b=b, p=stride, v=stride)
    y = y[..., padding : y.shape[-2] - padding, padding : y.shape[-1] - padding]
    return y + rearrange(bias, "b o -> b 1 o 1 1")


_CONVOLVE = {"auto": _matmul, "matmul": _matmul, "grouped": _grouped, "subpixel": _subpixel}

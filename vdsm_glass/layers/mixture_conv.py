"""Transposed convolution whose weights are a mixture of experts, one mixture per sequence.  [VDSM suppl. section 3]"""

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

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


def overlap_add(patches: Tensor, *, stride: int) -> Tensor:
    """Y[k, l] = Σ patches[i, j, p, q] over s i + p = k and s j + q = l: the adjoint of `extract_patches`.

    Channels stay last, so that additions run over long contiguous rows.

    Args: patches (n, h, w, kh, kw, c), kh and kw multiples of the stride.
    Returns: (n, (h - 1) stride + kh, (w - 1) stride + kw, c).
    """
    n, h, w, kh, kw, c = patches.shape
    if h == w == 1:
        return patches[:, 0, 0]
    reach_h, reach_w = kh // stride, kw // stride  # how many patches overlap in one pixel, along each side
    canvas = patches.new_zeros(n, h + reach_h - 1, stride, w + reach_w - 1, stride, c)
    blocks = rearrange(patches, "n h w (i p) (j q) c -> i j n h p w q c", p=stride, q=stride)
    for i in range(reach_h):
        for j in range(reach_w):
            canvas[:, i : i + h, :, j : j + w] += blocks[i, j]
    return rearrange(canvas, "n h p w q c -> n (h p) (w q) c")


def extract_patches(image: Tensor, *, kernel_size: int, stride: int) -> Tensor:
    """patches[i, j, p, q] = image[s i + p, s j + q].  Args: image (n, h, w, c).   Returns: (n, i, j, kh, kw, c)."""
    windows = image.unfold(1, kernel_size, stride).unfold(2, kernel_size, stride)
    return rearrange(windows, "n i j c p q -> n i j p q c")


class MatmulConvTranspose2d(torch.autograd.Function):
    """y_n = ConvTranspose2d(x_n; W_n, c_n): per sequence one matrix product, then `overlap_add`.

    It has a backward pass of its own, because autograd would touch a tensor of the patches' size once for each overlap,
    and would return the weights' gradient transposed, which costs a copy of the largest tensor of a step.

    Args: x (b, t, h, w, in); weight (b, kh, kw, out, in); bias (b, out); stride; padding.
    Returns: (b, t, h', w', out).
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
        _, t, h, w, _ = x.shape
        kernel = weight.shape[1]
        patches = torch.bmm(rearrange(x, "b t h w i -> b (t h w) i"), rearrange(weight, "b kh kw o i -> b i (kh kw o)"))
        canvas = overlap_add(
            rearrange(patches, "b (t h w) (kh kw o) -> (b t) h w kh kw o", t=t, h=h, w=w, kh=kernel, kw=kernel),
            stride=stride,
        )
        cropped = canvas[:, padding : canvas.shape[1] - padding, padding : canvas.shape[2] - padding]
        return rearrange(cropped, "(b t) h w o -> b t h w o", t=t) + rearrange(bias, "b o -> b 1 1 1 o")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int, int], output: Tensor) -> None:  # noqa: ARG004
        x, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (grad_y,) = grad_outputs
        _, t, h, w, _ = x.shape
        _, kh, kw, _, _ = weight.shape
        padding = ctx.padding
        canvas = F.pad(rearrange(grad_y, "b t h w o -> (b t) h w o"), (0, 0, padding, padding, padding, padding))
        patches = rearrange(
            extract_patches(canvas, kernel_size=kh, stride=ctx.stride), "(b t) h w kh kw o -> b (t h w) (kh kw o)", t=t
        )
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.bmm(patches, rearrange(weight, "b kh kw o i -> b (kh kw o) i"))
            grad_x = rearrange(grad_x, "b (t h w) i -> b t h w i", t=t, h=h, w=w)
        if ctx.needs_input_grad[1]:
            grad_weight = torch.bmm(patches.transpose(1, 2), rearrange(x, "b t h w i -> b (t h w) i"))
            grad_weight = rearrange(grad_weight, "b (kh kw o) i -> b kh kw o i", kh=kh, kw=kw)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_y.sum(dim=(1, 2, 3))
        return grad_x, grad_weight, grad_bias, None, None


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

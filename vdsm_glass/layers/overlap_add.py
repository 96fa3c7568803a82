"""Transposed convolution with a weight per sequence: matrix products whose patches add up where they overlap."""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


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
            extract_patches(canvas, kernel_size=kh, stride=ctx.stride),
            "(b t) h w kh kw o -> b (t h w) (kh kw o)",
            t=t,
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

"""The mixture-of-experts decoder as its equations read: slow and obvious, for tests and as a benchmark's baseline."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def mixture_conv_transpose2d(
    x: Tensor, mixture: Tensor, weight: Tensor, bias: Tensor, *, stride: int, padding: int
) -> Tensor:
    """y_{n,t} = ConvTranspose2d(x_{n,t}; Σ_k s̃_{n,k} W_k, Σ_k s̃_{n,k} c_k), one sequence n after the other.

    Args: x (b, t, in, h, w); mixture s̃ (b, k); weight (k, in, out, kh, kw); bias (k, out).
    Returns: (b, t, out, h', w').
    """
    weights = (mixture[:, :, None, None, None, None] * weight).sum(dim=1)
    biases = (mixture[:, :, None] * bias).sum(dim=1)
    return torch.stack(
        [F.conv_transpose2d(x[n], weights[n], bias=biases[n], stride=stride, padding=padding) for n in range(len(x))]
    )


def mixture_decoder(
    z: Tensor,
    mixture: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    *,
    strides: Sequence[int] = (1, 2, 2, 2, 2),
    paddings: Sequence[int] = (0, 1, 1, 1, 1),
    negative_slope: float = 0.2,
) -> Tensor:
    """Logits of p(x_t | z_t, s̃): [z_t ; s̃] through blended transposed convolutions with LeakyReLU in between.

    Args: z (b, t, z); mixture s̃ (b, k); weights and biases of every layer as in `mixture_conv_transpose2d`.
    Returns: (b, t, c, h, w).
    """
    b, t, _ = z.shape
    x = torch.cat([z, mixture[:, None].expand(b, t, -1)], dim=-1)[:, :, :, None, None]
    last = len(weights) - 1
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = mixture_conv_transpose2d(x, mixture, weight, bias, stride=strides[layer], padding=paddings[layer])
        if layer < last:
            x = F.leaky_relu(x, negative_slope=negative_slope)
    return x

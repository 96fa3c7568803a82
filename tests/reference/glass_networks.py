"""GLASS's layers as their equations read: slow and obvious, for tests."""

import torch
import torch.nn.functional as F
from torch import Tensor


def modulated_conv(
    x: Tensor, style: Tensor, weight: Tensor, bias: Tensor, *, down: int, negative_slope: float = 0.2
) -> Tensor:
    """StyleGAN2's modulated convolution, one sample after the other, each with a kernel of its own.

    Args: x (n, i, h, w); style s (n, i); weight (o, i, 3, 3); bias (o,).   Returns: (n, o, h // down, w // down).
    """
    size = 2 + down
    kernel = torch.zeros(*weight.shape[:2], size, size, dtype=weight.dtype)
    for row in range(down):
        for column in range(down):
            kernel[:, :, row : row + 3, column : column + 3] += weight / down**2
    results = []
    for sample, scales in zip(x, style, strict=True):
        modulated = kernel * scales[None, :, None, None]
        norms = torch.stack([(channel.square().sum() + 1e-8).sqrt() for channel in modulated])
        demodulated = modulated / norms[:, None, None, None]
        y = F.conv2d(sample[None], demodulated, bias=bias, stride=down, padding=1)
        results.append(F.leaky_relu(y, negative_slope=negative_slope))
    return torch.cat(results)


def conv_lstm(x: Tensor, h: Tensor, c: Tensor, weights: dict[str, Tensor], biases: dict[str, Tensor]) -> Tensor:
    """h_1..h_t of a ConvLSTM with a convolution of [x_t, h_{t-1}] for each of its gates i, f, o and g.

    Args: x (b, t, c_in, h, w); h, c (b, hidden, h, w); weights of each gate (hidden, c_in + hidden, 3, 3); biases.
    """
    outputs = []
    for t in range(x.shape[1]):
        both = torch.cat([x[:, t], h], dim=1)
        gates = {name: F.conv2d(both, weights[name], bias=biases[name], padding=1) for name in "ifog"}
        i, f, o = (1 / (1 + torch.exp(-gates[name])) for name in "ifo")
        c = f * c + i * torch.tanh(gates["g"])
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, dim=1)


def bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """z_no = Σ_ij A_oij x_ni y_nj + c_o, one number after the other.  Args: x (n, i); y (n, j); weight (o, i, j)."""
    return (
        torch.stack([torch.stack([row @ A @ column for A in weight]) for row, column in zip(x, y, strict=True)]) + bias
    )

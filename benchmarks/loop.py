"""VDSM's decoder as one would write it with PyTorch's own layers: the baseline of the benchmarks.

Weights are blended by one matrix product a layer, for all sequences; `F.conv_transpose2d` then runs once a sequence.
Experts are stored in that function's layout, so that nothing is copied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d
from vdsm_glass.vdsm.densities import SLOPE, MixtureDecoder


class LoopedConvTranspose2d(nn.Module):
    """The same function as a `MixtureConvTranspose2d`, whose experts it copies, one sequence after the other."""

    def __init__(self, layer: MixtureConvTranspose2d) -> None:
        super().__init__()
        self.stride, self.padding = layer.stride, layer.padding
        weight = rearrange(layer.weight.detach(), "k kh kw o i -> k i o kh kw").contiguous()
        self.weight = nn.Parameter(weight, requires_grad=layer.weight.requires_grad)
        self.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad)

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """Args: x (b, t, in, h, w); mixture (b, k).   Returns: (b, t, out, h', w')."""
        weight = (mixture @ self.weight.flatten(start_dim=1)).unflatten(1, self.weight.shape[1:])
        bias = mixture @ self.bias
        images = [
            F.conv_transpose2d(x[n], weight[n], bias=bias[n], stride=self.stride, padding=self.padding)
            for n in range(len(x))
        ]
        return torch.stack(images)


class LoopedDecoder(nn.Module):
    """The same function as a `MixtureDecoder` of several experts, from `LoopedConvTranspose2d`s."""

    def __init__(self, decoder: MixtureDecoder) -> None:
        super().__init__()
        layers = [layer for layer in decoder.layers if isinstance(layer, MixtureConvTranspose2d)]
        self.layers = nn.ModuleList(map(LoopedConvTranspose2d, layers))

    def forward(self, z: Tensor, mixture: Tensor) -> Tensor:
        """Args: z (b, t, z); mixture (b, s).   Returns: (b, t, 3, h, w) logits."""
        x = rearrange(torch.cat([z, repeat(mixture, "b s -> b t s", t=z.shape[1])], dim=-1), "b t c -> b t c 1 1")
        for depth, layer in enumerate(self.layers):
            x = layer(F.leaky_relu(x, negative_slope=SLOPE) if depth else x, mixture)
        return x

"""The mixture-of-experts decoder: p(x_t | z_t, s)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d
from vdsm_glass.vdsm.sizes import Sizes

SLOPE = 0.2


class MixtureDecoder(nn.Module):
    """κ_s decoders whose weights and biases are blended by s̃, once per sequence.  [VDSM suppl. section 3]

    W(s̃) = Σ_k s̃_k W_k; the input is [z_t ; s̃]; 4x4 transposed convolutions of (stride, padding) (1, 0), then (2, 1).
    With `single_decoder` (section 6) there is one expert and s̃ is an input only.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = [sizes.kappa_z + sizes.kappa_s, *sizes.decoder_channels, 3]
        self.single = sizes.single_decoder
        self.layers = nn.ModuleList(
            MixtureConvTranspose2d(
                experts=1 if self.single else sizes.kappa_s,
                in_channels=inputs,
                out_channels=outputs,
                kernel_size=4,
                stride=1 if depth == 0 else 2,
                padding=0 if depth == 0 else 1,
            )
            for depth, (inputs, outputs) in enumerate(pairwise(widths))
        )

    def forward(self, z: Tensor, mixture: Tensor) -> Tensor:
        """Logits of p(x_t | z_t, s): every pixel a Bernoulli.

        Args: z (b, t, z) poses; mixture (b, s), s̃ on the simplex.   Returns: (b, t, 3, h, w) float32 logits.
        """
        blend = torch.ones_like(mixture[:, :1]) if self.single else mixture
        x = torch.cat([z, repeat(mixture, "b s -> b t s", t=z.shape[1])], dim=-1)
        x = rearrange(x, "b t c -> b t c 1 1")
        last = len(self.layers) - 1
        for depth, layer in enumerate(self.layers):
            x = layer(x, blend)
            if depth < last:
                x = F.leaky_relu(x, negative_slope=SLOPE)
        return x.float()

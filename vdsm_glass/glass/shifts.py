"""P_f and P_b, the networks that see how far a layer has moved."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.blocks import SLOPE, Same

FIRST_SHIFT = 1e-3
"""Scale, in grid units, of the shifts that an untrained predictor gives."""


class ShiftPredictor(nn.Module):
    """Δ = P([x_t, x_{t+1}]), the shift of a layer's content from one frame to the next.  [GLASS section 3.1, Fig. 9]

    The last layer starts with zero weights and a tiny random bias: the first shifts are almost zero, so that the
    reconstruction losses start from pictures that overlap.

    Args: sizes: widths.
    """

    def __init__(self, sizes: GMASizes) -> None:
        super().__init__()
        channels = (6, *sizes.shift_channels)
        downs = (2, 2, 1, 2, 1)
        hidden = (channels[-1], *sizes.shift_hidden)
        self.features = nn.Sequential(
            *(Same(c_in, c_out, down=down) for (c_in, c_out), down in zip(pairwise(channels), downs, strict=True)),
            nn.AdaptiveAvgPool2d(output_size=1),
            nn.Flatten(),
            *(layer for widths in pairwise(hidden) for layer in _dense(*widths)),
        )
        self.head = nn.Linear(in_features=hidden[-1], out_features=2)
        nn.init.zeros_(self.head.weight)
        nn.init.normal_(self.head.bias, std=FIRST_SHIFT)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """(n, 3, h, w) each -> (n, 2) float32, (x, y) in grid units: how `before`'s content moves to match `after`."""
        return self.head(self.features(torch.cat([before, after], dim=1))).float()


def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Linear(in_features=inputs, out_features=outputs),
        nn.BatchNorm1d(num_features=outputs),
        nn.LeakyReLU(negative_slope=SLOPE, inplace=True),
    )

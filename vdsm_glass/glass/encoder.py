"""The encoder E of foregrounds and the compressor C.  [GLASS section 3.2, Fig. 10]"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import Residual, Same


class Features(NamedTuple):
    """E's features of foregrounds: `phi` (n, features, h / 8, w / 8), `attention` (n, 1, h / 8, w / 8) in (0, 1)."""

    phi: Tensor
    attention: Tensor

    @property
    def attended(self) -> Tensor:
        """φ times the attention map: the input of the action network."""
        return self.phi * self.attention


class Encoder(nn.Sequential):
    """φ = E(f), at an eighth of the resolution.  [GLASS section 3.2]

    The last block has one more channel, an attention map in (0, 1) for the action network.
    """

    def __init__(self, sizes: LMASizes) -> None:
        full, half, quarter = sizes.encoder_channels
        super().__init__(
            Same(3, full, down=2),
            Residual(full, full),
            Residual(full, half, down=2),
            Residual(half, half),
            Residual(half, quarter, down=2),
            Residual(quarter, quarter),
            Residual(quarter, quarter + 1),
        )

    def forward(self, input: Tensor) -> Features:
        """Args: input, foregrounds f (n, 3, h, w), h and w multiples of 8.   Returns: φ and the attention map."""
        maps = super().forward(input)
        return Features(phi=maps[:, :-1], attention=maps[:, -1:].sigmoid())


class Compressor(nn.Conv2d):
    """e = C(φ), a 1x1 convolution (n, features, h, w) -> (n, code_channels, h, w).  [GLASS appendix B.1]

    The few channels keep the RNN from memorising the appearance of the training set's agents.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__(in_channels=sizes.features, out_channels=sizes.code_channels, kernel_size=1)

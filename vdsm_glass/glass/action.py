"""The action network A without its quantizer.  [GLASS section 3.2, Fig. 10]"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.glass.window import centred
from vdsm_glass.layers.blocks import SLOPE, Residual, Same

LOOK_SIDE = 32
"""Pixels of the pictures that `AgentLook` sees."""


class BilinearMap(nn.Module):
    """T(W ψ_t, ψ_{t+1})_o = Σ_ij A_oij (W ψ_t)_i (ψ_{t+1})_j + c_o: one T^i of section 3.2.

    Args: features: width of ψ_t. width_in, width_out: of ψ^{i-1}_{t+1} and ψ^i_{t+1}.
    """

    def __init__(self, features: int, width_in: int, width_out: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_features=features, out_features=width_in, bias=False)
        self.bilinear = nn.Bilinear(in1_features=width_in, in2_features=width_in, out_features=width_out)

    def forward(self, psi: Tensor, psi_next: Tensor) -> Tensor:
        """Args: psi ψ_t (n, features); psi_next ψ^{i-1}_{t+1} (n, width_in).   Returns: ψ^i_{t+1} (n, width_out).

        It is computed by two matrix products, because PyTorch's bilinear function computes one output after the other.
        """
        weight, bias = self.bilinear.weight, self.bilinear.bias
        return torch.einsum("n i, o i j, n j -> n o", self.project(psi), weight, psi_next) + bias


class Directions(nn.Module):
    """d_t = ψ^P_{t+1} - ψ_t with ψ^i_{t+1} = T^i(W_i ψ_t, ψ^{i-1}_{t+1}), i = 1..P.  [GLASS section 3.2]

    The T^i unfold the path to ψ_{t+1} before the difference is taken, for motion that returns to where it began. A norm
    and LeakyReLU follow each T^i except the last. "plain" directions are ψ_{t+1} - ψ_t.  [GLASS Table 3]
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        widths = [sizes.features, *[sizes.bilinear_width] * (sizes.bilinear_maps - 1), sizes.features]
        pairs = list(pairwise(widths)) if sizes.directions == "bilinear" else []
        self.maps = nn.ModuleList(BilinearMap(sizes.features, width_in, width_out) for width_in, width_out in pairs)
        self.norms = nn.ModuleList(normed(sizes, width_out) for _, width_out in pairs[:-1])
        self.norms.append(nn.Identity())

    def forward(self, psi: Tensor, psi_next: Tensor) -> Tensor:
        """Args: ψ_t and ψ_{t+1}, each (n, features).   Returns: d_t (n, features)."""
        for bilinear, norm in zip(self.maps, self.norms, strict=False):
            psi_next = norm(bilinear(psi, psi_next))
        return psi_next - psi


class ActionNetwork(nn.Module):
    """U(d_t), which the quantizer turns into the action a_t.  [GLASS section 3.2]

    A small CNN and global average pooling turn the attended φ̃_t and φ_{t+1} into ψ_t and ψ_{t+1}; `Directions` gives
    d_t; the MLP U gives it the size of the prototypes. From ψ on all is float32 under autocast too, because there are
    products of features, and distances that choose an action.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        features, wide = sizes.features, sizes.action_channels
        self.cnn = nn.Sequential(Residual(features, wide, down=2), Residual(wide, features))
        self.directions = Directions(sizes)
        self.U = nn.Sequential(
            nn.Linear(in_features=features, out_features=wide),
            normed(sizes, wide),
            nn.Linear(in_features=wide, out_features=features),
            normed(sizes, features),
            nn.Linear(in_features=features, out_features=sizes.code_size),
            nn.BatchNorm1d(num_features=sizes.code_size, affine=False) if sizes.spread_actions else nn.Identity(),
        )

    def forward(self, attended: Tensor, attended_next: Tensor) -> Tensor:
        """Args: φ̃_t and φ_{t+1} times their attention, each (n, features, h, w).   Returns: U(d_t) (n, code_size)."""
        maps = self.cnn(torch.cat([attended, attended_next]))
        with torch.autocast(device_type=maps.device.type, enabled=False):
            psi, psi_next = reduce(maps.float(), "(pair n) c h w -> pair n c", "mean", pair=2).unbind()
            return self.U(self.directions(psi, psi_next))


class AgentLook(nn.Module):
    """U([ψ_t, ψ_{t+1}]), of which the quantizer makes a_t, from windows with the agent in the middle.

    Not in the paper, whose A sees averages over the frame of features that were made for drawing, and multiplies them:
    within a short training these told who an agent is, and hardly what it does. Here ψ comes from colours and outline,
    and keeps where what is. The agent is in the middle of both frames, so that the shift is left out, as φ̃_t =
    E(f_t∘Δ_F) leaves it out.

    Args: sizes: `action_channels`, `vector_norm` and `code_size`.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        first, wide = sizes.action_channels // 4, sizes.action_channels // 2
        self.cnn = nn.Sequential(
            Same(4, first, down=2), Same(first, wide, down=2), Same(wide, wide, down=2), nn.Flatten()
        )
        self.psi = nn.Linear(in_features=wide * (LOOK_SIDE // 8) ** 2, out_features=sizes.action_channels)
        self.U = nn.Sequential(
            nn.Linear(in_features=2 * sizes.action_channels, out_features=sizes.action_channels),
            normed(sizes, sizes.action_channels),
            nn.Linear(in_features=sizes.action_channels, out_features=sizes.code_size),
            # Without a bound, U would grow, and Eq. (6) with it.
            nn.LayerNorm(normalized_shape=sizes.code_size, elementwise_affine=False),
        )

    def forward(self, f: Tensor, m: Tensor) -> Tensor:
        """Args: f (b, t, 3, side, side) and m (b, t, 1, side, side), windows.   Returns: U (b t-1, code_size)."""
        b = len(f)
        layers, masks = (rearrange(part, "b t c h w -> (b t) c h w") for part in (torch.cat([f, m], dim=2), m))
        seen = self.cnn(F.adaptive_avg_pool2d(centred(layers, masks), output_size=LOOK_SIDE))
        with torch.autocast(device_type=seen.device.type, enabled=False):
            psi = rearrange(self.psi(seen.float()), "(b t) k -> b t k", b=b)
            return self.U(rearrange(torch.cat([psi[:, :-1], psi[:, 1:]], dim=2), "b t k -> (b t) k"))


def normed(sizes: LMASizes, width: int) -> nn.Sequential:
    """The norm that `sizes.vector_norm` names, and LeakyReLU, of vectors (n, width)."""
    norm = nn.BatchNorm1d(num_features=width) if sizes.vector_norm == "batch" else nn.LayerNorm(normalized_shape=width)
    return nn.Sequential(norm, nn.LeakyReLU(negative_slope=SLOPE))

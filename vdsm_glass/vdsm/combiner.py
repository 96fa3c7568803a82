"""The combiner: q(z_t | z_{t-1}, x_{1:T}, d)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vdsm_glass.vdsm.normal import NormalParameters, split_normal
from vdsm_glass.vdsm.sizes import Sizes


class Combiner(nn.Module):
    """Where the pose before and the dynamics meet.  [VDSM suppl. section 3; Krishnan et al. 2017]"""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pose = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.combiner_dim)
        self.dynamics = nn.Linear(in_features=2 * sizes.kappa_z + sizes.kappa_d, out_features=sizes.combiner_dim)
        self.head = nn.Linear(in_features=sizes.combiner_dim, out_features=2 * sizes.kappa_z)
        self.z_0 = nn.Parameter(torch.zeros(sizes.kappa_z))

    def drive(self, h: Tensor, d: Tensor) -> Tensor:
        """LeakyReLU(W_h [h_t ; d]) for all t at once: it does not wait for any pose.

        Args: h (b, t, 2 z); d (b, d).   Returns: (b, t, hidden).
        """
        d = d.unsqueeze(dim=1).expand(-1, h.shape[1], -1)
        return F.leaky_relu(self.dynamics(torch.cat([h, d], dim=-1)), negative_slope=0.2)

    def forward(self, z_prev: Tensor, drive: Tensor) -> NormalParameters:
        """q(z_t | z_{t-1}, h_t, d), from ½ (tanh(W_z z_{t-1}) + LeakyReLU(W_h [h_t ; d])).

        Args: z_prev (b, z) previous pose, z_0 before the first; drive (b, hidden), one step of `drive`.
        Returns: loc, scale, each (b, z); scale > 0.
        """
        return split_normal(self.head((torch.tanh(self.pose(z_prev)) + drive) / 2))

"""The gated transition: p(z_t | z_{t-1}, d)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vdsm_glass.vdsm.normal import NormalParameters, positive
from vdsm_glass.vdsm.sizes import Sizes


class GatedTransition(nn.Module):
    """How a pose follows a pose under the dynamics d.  [VDSM suppl. section 3; Krishnan et al. 2017, Eq. (10)]"""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.gate = self._mlp(sizes)
        self.proposal = self._mlp(sizes)
        self.keep = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.kappa_z)
        self.scale = nn.Linear(in_features=sizes.kappa_z, out_features=sizes.kappa_z)
        # What is not replaced is kept as it was, until training finds better. [Krishnan et al. 2017, section 5]
        nn.init.eye_(self.keep.weight)
        nn.init.zeros_(self.keep.bias)

    @staticmethod
    def _mlp(sizes: Sizes) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(in_features=sizes.kappa_z + sizes.kappa_d, out_features=sizes.transition_dim),
            nn.ReLU(),
            nn.Linear(in_features=sizes.transition_dim, out_features=sizes.kappa_z),
        )

    def forward(self, z_prev: Tensor, d: Tensor) -> NormalParameters:
        """p(z_t | z_{t-1}, d): g = σ(MLP), m = MLP, loc = (1 - g)(W z) + g m, scale = softplus(W' ReLU(m)).

        Args: z_prev (b, z) previous pose; d (b, d) dynamics.   Returns: loc, scale, each (b, z); scale > 0.
        """
        both = torch.cat([z_prev, d], dim=-1)
        g = torch.sigmoid(self.gate(both))
        m = self.proposal(both)
        loc = (1 - g) * self.keep(z_prev) + g * m
        return NormalParameters(loc=loc.float(), scale=positive(self.scale(torch.relu(m))))

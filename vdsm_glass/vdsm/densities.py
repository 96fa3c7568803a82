"""The densities of stage 2: q(d | x), h_t, q(z_t | z_{t-1}, h_t, d) and p(z_t | z_{t-1}, d). [VDSM suppl. 3]"""

from __future__ import annotations

from typing import NamedTuple

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.vdsm.sizes import Sizes

SMALLEST_SCALE = 1e-4


class NormalParameters(NamedTuple):
    """Location and scale, of one shape; scale > 0."""

    loc: Tensor
    scale: Tensor

    def distribution(self, event_dims: int = 1) -> dist.TorchDistribution:
        """N(loc, scale²), the last `event_dims` dimensions being one event."""
        return dist.Normal(loc=self.loc, scale=self.scale).to_event(event_dims)


def positive(raw: Tensor) -> Tensor:
    """softplus, above 1e-4 and in float32: in bfloat16 a small scale would round to nothing, its log to -inf."""
    return F.softplus(raw.float()) + SMALLEST_SCALE


def split_normal(raw: Tensor) -> NormalParameters:
    """The halves of `raw` (..., 2n) as location and scale, each (..., n)."""
    loc, scale = raw.chunk(2, dim=-1)
    return NormalParameters(loc=loc.float(), scale=positive(scale))


class DynamicsEncoder(nn.Module):
    """q(d | x_{1:T}): a bi-LSTM over the poses; its last states of all layers and directions give d.

    [VDSM suppl. section 3, "Dynamics Layer"]
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        states = 2 * sizes.rnn_layers
        self.rnn = nn.LSTM(
            input_size=sizes.kappa_z,
            hidden_size=sizes.rnn_dim,
            num_layers=sizes.rnn_layers,
            bidirectional=True,
            batch_first=True,
        )
        self.first_state = nn.Parameter(torch.zeros(2, states, sizes.rnn_dim))
        self.head = nn.Linear(in_features=states * sizes.rnn_dim, out_features=2 * sizes.kappa_d)

    def forward(self, z: Tensor) -> NormalParameters:
        """Args: z (b, t, z), the poses' locations.   Returns: loc and scale of d, each (b, d)."""
        h_0, c_0 = repeat(self.first_state, "two n r -> two n b r", b=z.shape[0]).contiguous()
        _, (h_n, _) = self.rnn(z, (h_0, c_0))
        return split_normal(self.head(rearrange(h_n, "n b r -> b (n r)")))


class DynamicsDecoder(nn.Module):
    """h_t: an LSTM that starts from d and feeds on its own output.  [VDSM suppl. section 3]

    The supplementary's FC(RNN_dim x 2, 2 κ_z) takes twice the width of a one-directional LSTM: read here as the last
    layer's hidden and cell state, side by side.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = sizes.rnn_layers
        self.state = nn.Linear(in_features=sizes.kappa_d, out_features=2 * sizes.rnn_layers * sizes.rnn_dim)
        self.first_input = nn.Parameter(torch.zeros(2 * sizes.kappa_z))
        self.rnn = nn.LSTM(
            input_size=2 * sizes.kappa_z, hidden_size=sizes.rnn_dim, num_layers=sizes.rnn_layers, batch_first=True
        )
        self.output = nn.Linear(in_features=2 * sizes.rnn_dim, out_features=2 * sizes.kappa_z)

    def forward(self, d: Tensor, steps: int) -> Tensor:
        """Args: d (b, d); steps, frames to unfold.   Returns: h (b, t, 2 z), which no pose has entered."""
        state = rearrange(self.state(d), "b (two n r) -> two n b r", two=2, n=self.layers).contiguous()
        hidden, cell = state[0], state[1]
        h = repeat(self.first_input, "h -> b 1 h", b=d.shape[0])
        unfolded = []
        for _ in range(steps):
            _, (hidden, cell) = self.rnn(h, (hidden, cell))
            h = self.output(torch.cat([hidden[-1], cell[-1]], dim=-1)).unsqueeze(dim=1)
            unfolded.append(h)
        return torch.cat(unfolded, dim=1)


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

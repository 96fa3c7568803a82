"""Dynamics: q(d | x_{1:T}) and the states h_{1:T} that d unfolds into."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.vdsm.normal import NormalParameters, split_normal
from vdsm_glass.vdsm.sizes import Sizes


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

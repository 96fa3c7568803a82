"""A convolutional LSTM whose state is an argument and a result.  [Shi et al. 2015, arXiv 1506.04214]"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn


class LSTMState(NamedTuple):
    """The state of a ConvLSTM: `h` (b, hidden, h, w), its output, and `c` (b, hidden, h, w) float32, its memory."""

    h: Tensor
    c: Tensor


class ConvLSTM(nn.Module):
    """c_t = σ(f) c_{t-1} + σ(i) tanh(g),  h_t = σ(o) tanh(c_t),  (i, f, o, g) = W * [x_t, h_{t-1}] + b.

    The four gates are one 3x3 convolution, without peepholes. It is split into the part that reads x, done for all
    frames at once, and the part that reads h, done frame by frame.

    The initial state is one learned number for each channel, the same at every pixel and in every clip, and therefore
    fits frames of any size.

    Args: c_in: channels of x. hidden: channels of h and c.
    """

    def __init__(self, c_in: int, hidden: int) -> None:
        super().__init__()
        self.from_input = nn.Conv2d(in_channels=c_in, out_channels=4 * hidden, kernel_size=3, padding=1)
        self.from_state = nn.Conv2d(in_channels=hidden, out_channels=4 * hidden, kernel_size=3, padding=1, bias=False)
        self.first_h = nn.Parameter(torch.zeros(hidden, 1, 1))
        self.first_c = nn.Parameter(torch.zeros(hidden, 1, 1))

    def initial_state(self, b: int, h: int, w: int) -> LSTMState:
        """The state before the first frame, for `b` clips of feature maps of h x w."""
        first_h, first_c = (repeat(first, "c 1 1 -> b c h w", b=b, h=h, w=w) for first in (self.first_h, self.first_c))
        return LSTMState(h=first_h, c=first_c)

    def forward(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Args: x (b, t, c_in, h, w); state before the first frame.   Returns: h_1..h_t (b, t, hidden, h, w); state."""
        from_input = self.from_input(rearrange(x, "b t c h w -> (b t) c h w"))
        outputs = []
        for part in rearrange(from_input, "(b t) c h w -> t b c h w", t=x.shape[1]):
            state = self.advance(part + self.from_state(state.h), state)
            outputs.append(state.h)
        return torch.stack(outputs, dim=1), state

    @staticmethod
    def advance(gates: Tensor, state: LSTMState) -> LSTMState:
        """The next state.  Args: gates (b, 4 hidden, h, w) before their nonlinearities.

        The memory is float32 under autocast too, because it adds up over the whole clip.
        """
        i, f, o, g = gates.float().chunk(4, dim=1)
        c = f.sigmoid() * state.c + i.sigmoid() * g.tanh()
        return LSTMState(h=o.sigmoid() * c.tanh(), c=c)

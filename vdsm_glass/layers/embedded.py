"""Blocks that see an embedding beside each pixel."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from vdsm_glass.layers.conv_lstm import ConvLSTM, LSTMState


class Recurrent(nn.Module):
    """A ConvLSTM with an embedding concatenated to its input, and batch norm of its output.

    Args: c_in: channels of x. embedding: size of the embedding. hidden: channels of the output.
    """

    def __init__(self, c_in: int, hidden: int, *, embedding: int) -> None:
        super().__init__()
        self.lstm = ConvLSTM(c_in + embedding, hidden)
        self.norm = nn.BatchNorm2d(num_features=hidden)

    def forward(self, x: Tensor, v: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Args: x (b t, c_in, h, w); v (b t, embedding); state of b clips.   Returns: (b t, hidden, h, w); state."""
        b = len(state.h)
        h, state = self.lstm(rearrange(beside(x, v), "(b t) c h w -> b t c h w", b=b), state)
        return self.norm(rearrange(h, "b t c h w -> (b t) c h w")), state


class Beside(nn.Module):
    """A block whose input is x with an embedding v, the same at every pixel, concatenated to its channels."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        """Args: x (n, c, h, w); v (n, embedding).   Returns: the block's output."""
        return self.block(beside(x, v))


def beside(x: Tensor, v: Tensor) -> Tensor:
    """x (n, c, h, w) and v (n, m), the same at every pixel -> (n, c + m, h, w)."""
    return torch.cat([x, repeat(v, "n m -> n m h w", h=x.shape[2], w=x.shape[3])], dim=1)

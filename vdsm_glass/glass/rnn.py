"""The RNN of the next foreground: s_{t+1} from e_t, Δ_F, a_t and the state.  [GLASS section 3.2, Fig. 10]"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import ModulatedConv, Same, Up
from vdsm_glass.layers.conv_lstm import LSTMState
from vdsm_glass.layers.embedded import Beside, Recurrent


class RNNState(NamedTuple):
    """States of the three ConvLSTMs: at 1/8 of the resolution, at 1/16, and at 1/8 again."""

    early: LSTMState
    middle: LSTMState
    late: LSTMState


class RNN(nn.Module):
    """s_{t+1}, state_{t+1} = RNN(e_t, Δ_F, a_t, state_t) for one or more steps whose e_t are known.

    Six blocks: [ConvLSTM, modulated convolution to half the size], [ConvLSTM, up], [ConvLSTM, modulated convolution].
    The embedding of Δ_F enters the first two, that of a_t the other four: early blocks move, late ones deform. All
    but the ConvLSTMs work on all steps at once.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        self.joint_input, self.noise_channels = sizes.joint_input, sizes.noise_channels
        self.embed_delta_F = nn.Linear(in_features=2, out_features=sizes.code_channels)
        self.embed_a = nn.Linear(in_features=sizes.code_size, out_features=sizes.code_channels)
        hidden, middle = sizes.hidden, sizes.hidden_middle
        size = sizes.code_channels * (2 if sizes.joint_input else 1)
        self.early = Recurrent(sizes.code_channels + sizes.noise_channels, hidden, embedding=size)
        self.down = styled(hidden, middle, embedding=size, down=2, modulated=sizes.modulated)
        self.middle = Recurrent(middle, middle, embedding=size)
        self.up = Beside(Up(middle + size, hidden, late=True))
        self.late = Recurrent(hidden, hidden, embedding=size)
        self.last = styled(hidden, hidden, embedding=size, down=1, modulated=sizes.modulated)

    def initial_state(self, b: int, h: int, w: int) -> RNNState:
        """The learned state before the first frame, for `b` clips whose e_t is h x w."""
        return RNNState(
            early=self.early.lstm.initial_state(b, h, w),
            middle=self.middle.lstm.initial_state(b, h // 2, w // 2),
            late=self.late.lstm.initial_state(b, h, w),
        )

    def forward(self, e: Tensor, delta_F: Tensor, a: Tensor, state: RNNState) -> tuple[Tensor, RNNState]:
        """Args: e e_t (b, t, code_channels, h, w); delta_F (b, t, 2) in grid units; a (b, t, code_size); state.

        Returns: s_{t+1} (b, t, hidden, h, w) and the state after the last step.
        """
        v_shift, v_action = self.embeddings(rearrange(delta_F, "b t xy -> (b t) xy"), rearrange(a, "b t k -> (b t) k"))
        x = self.with_noise(rearrange(e, "b t c h w -> (b t) c h w"))
        x, early = self.early(x, v_shift, state.early)
        x = self.down(x, v_shift)
        x, middle = self.middle(x, v_action, state.middle)
        x = self.up(x, v_action)
        x, late = self.late(x, v_action, state.late)
        x = self.last(x, v_action)
        return rearrange(x, "(b t) c h w -> b t c h w", b=e.shape[0]), RNNState(early=early, middle=middle, late=late)

    def embeddings(self, delta_F: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings for the first two blocks and for the other four, each (n, size); with `joint_input` both."""
        v_shift, v_action = self.embed_delta_F(delta_F), self.embed_a(a)
        if self.joint_input:
            v_shift = v_action = torch.cat([v_shift, v_action], dim=1)
        return v_shift, v_action

    def with_noise(self, e: Tensor) -> Tensor:
        """e (n, c, h, w) with `noise_channels` of standard normal noise, which is zero in evaluation."""
        if not self.noise_channels:
            return e
        shape = (e.shape[0], self.noise_channels, *e.shape[2:])
        return torch.cat([e, e.new_empty(shape).normal_() if self.training else e.new_zeros(shape)], dim=1)


def styled(c_in: int, c_out: int, *, embedding: int, down: int, modulated: bool) -> nn.Module:
    """A convolution modulated by an embedding or, in the ablation, one with the embedding among its inputs."""
    if modulated:
        return ModulatedConv(c_in, c_out, style_size=embedding, down=down)
    return Beside(Same(c_in + embedding, c_out, down=down))

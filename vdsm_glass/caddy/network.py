"""CADDY: the encoder E, the action network A, the dynamics R and the decoder D.  [CADDY]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.caddy.action import ActionNetwork, Actions
from vdsm_glass.caddy.sizes import CADDYSizes
from vdsm_glass.discrete.network import DiscreteNetwork, DrawnScene
from vdsm_glass.layers.blocks import Residual, Same, Up, doublings, frozen_statistics
from vdsm_glass.layers.embedded import Beside, Recurrent


class Encoder(nn.Sequential):
    """f_t = E(x_t), at an eighth of the resolution: (n, 3, h, w) in [-1, 1] -> (n, features, h / 8, w / 8)."""

    def __init__(self, sizes: CADDYSizes) -> None:
        half, quarter, eighth = sizes.encoder_channels
        super().__init__(
            Same(3, half, down=2),
            Residual(half, half),
            Residual(half, quarter, down=2),
            Residual(quarter, quarter),
            Residual(quarter, eighth, down=2),
            Residual(eighth, eighth),
        )


class Dynamics(nn.Module):
    """s_{t+1}, state_{t+1} = R(f_t, [a_t, v_t], state_t): three ConvLSTMs, the middle one at half the size of f.

    The action stands beside every pixel of what each block sees.
    """

    def __init__(self, sizes: CADDYSizes) -> None:
        super().__init__()
        size, hidden, middle = sizes.actions + sizes.direction_size, sizes.hidden, sizes.hidden_middle
        self.early = Recurrent(sizes.encoder_channels[-1], hidden, embedding=size)
        self.down = Beside(Same(hidden + size, middle, down=2))
        self.middle = Recurrent(middle, middle, embedding=size)
        self.up = Beside(Up(middle + size, hidden, late=True))
        self.late = Recurrent(hidden, hidden, embedding=size)

    def initial_state(self, b: int, h: int, w: int) -> tuple[Any, Any, Any]:
        """The learned state before the first frame, for `b` clips whose f_t is h x w."""
        blocks = ((self.early, 1), (self.middle, 2), (self.late, 1))
        early, middle, late = (block.lstm.initial_state(b, h // down, w // down) for block, down in blocks)
        return early, middle, late

    def forward(self, f: Tensor, action: Tensor, state: tuple[Any, Any, Any]) -> tuple[Tensor, tuple[Any, Any, Any]]:
        """Args: f f_t of known steps (b, t, features, h, w); action (b, t, K + direction_size); state.

        Returns: s_{t+1} (b, t, hidden, h, w) and the state after the last step.
        """
        early, middle, late = state
        v = rearrange(action, "b t k -> (b t) k")
        x, early = self.early(rearrange(f, "b t c h w -> (b t) c h w"), v, early)
        x, middle = self.middle(self.down(x, v), v, middle)
        x, late = self.late(self.up(x, v), v, late)
        return rearrange(x, "(b t) c h w -> b t c h w", b=len(f)), (early, middle, late)


class Decoder(nn.Module):
    """x̂_{t+1} = D(s_{t+1}) at a quarter, half and all of the resolution; after each doubling a convolution and tanh."""

    def __init__(self, sizes: CADDYSizes) -> None:
        super().__init__()
        self.ups = doublings(sizes.hidden, sizes.decoder_channels)
        self.heads = nn.ModuleList(
            nn.Conv2d(in_channels=c, out_channels=3, kernel_size=3, padding=1) for c in sizes.decoder_channels
        )

    def forward(self, s: Tensor) -> list[Tensor]:
        """Args: s (n, hidden, h / 8, w / 8).   Returns: pictures in [-1, 1], float32 under autocast too."""
        pictures = []
        for up, head in zip(self.ups, self.heads, strict=True):
            s = up(s)
            pictures.append(torch.tanh(head(s).float()))
        return pictures


@dataclass(frozen=True)
class Played:
    """A video drawn from its first frame and its own actions.

    Args: scales, x̂_2..x̂_T at a quarter, half and all of the resolution, each (b, t-1, 3, h_s, w_s) in [-1, 1];
        actions, of the real frames; again, those that A finds in x_1, x̂_2..x̂_T.
    """

    scales: list[Tensor]
    actions: Actions
    again: Actions


class CADDY(DiscreteNetwork):
    """E, A, R and D.  [CADDY]   A scene remembers the state of R."""

    frame_multiple = 16

    def __init__(self, sizes: CADDYSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.E, self.A, self.R, self.D = Encoder(sizes), ActionNetwork(sizes), Dynamics(sizes), Decoder(sizes)

    @property
    def actions(self) -> int:
        return self.sizes.actions

    def encoded(self, video: Tensor) -> Tensor:
        """f_t of video (b, t, 3, h, w) in [-1, 1]: (b, t, features, h / 8, w / 8)."""
        return rearrange(self.E(rearrange(video, "b t c h w -> (b t) c h w")), "(b t) c h w -> b t c h w", b=len(video))

    def infer(self, video: Tensor) -> Tensor:
        return self.A(self.encoded(video), temperature=1.0).logits.argmax(dim=-1)

    def forward(self, video: Tensor, *, T_f: int, temperature: float = 1.0) -> Played:
        """Frames 2..T by the actions of the video, from real frames up to T_f and from drawn ones after it.

        Args: video (b, t, 3, h, w) in [-1, 1]; temperature τ of the Gumbel-softmax.
        """
        f = self.encoded(video)
        actions = self.A(f, temperature=temperature)
        given = torch.cat([actions.a, actions.v], dim=-1)
        known, steps = min(T_f, given.shape[1]), given.shape[1]
        scales, state = self.step(f[:, :known], given[:, :known], self.R.initial_state(len(f), *f.shape[-2:]))
        parts = [scales]
        # Real frames alone make the running statistics, so that evaluation sees what training saw.
        with frozen_statistics(self.E), frozen_statistics(self.A):
            for t in range(known, steps):
                drawn = self.encoded(parts[-1][-1][:, -1:])
                scales, state = self.step(drawn, given[:, t : t + 1], state)
                parts.append(scales)
            made = [torch.cat(scale, dim=1) for scale in zip(*parts, strict=True)]
            seen = torch.cat([f[:, :1], self.encoded(made[-1])], dim=1)
            again = self.A(seen, temperature=temperature, learn_centroids=False)
        return Played(made, actions, again)

    def step(self, f: Tensor, action: Tensor, state: Any) -> tuple[list[Tensor], Any]:
        """The next frames at three scales, each (b, t, 3, h_s, w_s), and the state after them; see `Dynamics`."""
        s, state = self.R(f, action, state)
        pictures = self.D(rearrange(s, "b t c h w -> (b t) c h w"))
        return [rearrange(each, "(b t) c h w -> b t c h w", b=len(f)) for each in pictures], state

    def start(self, first: Tensor) -> DrawnScene:
        b, _, h, w = first.shape
        return DrawnScene(frame=first, memory=self.R.initial_state(b, h // 8, w // 8))

    def advance(self, scene: DrawnScene, action: Tensor) -> DrawnScene:
        """The scene after an action (b,) int64, with v_t = 0: the movement that is usual for the action."""
        chosen = F.one_hot(action, num_classes=self.actions).to(scene.frame.dtype)
        given = F.pad(chosen, (0, self.sizes.direction_size))[:, None]
        scales, state = self.step(self.encoded(scene.frame[:, None]), given, scene.memory)
        return DrawnScene(frame=scales[-1][:, 0], memory=state)

"""The inverse model a_t = I(x_t, x_{t+1}), its codebook, and the forward model x̂_{t+1} = F(x_{t-M+1}..x_t, a_t)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.discrete.network import DiscreteNetwork, DrawnScene
from vdsm_glass.latent_actions.sizes import LatentActionSizes
from vdsm_glass.layers.blocks import ModulatedConv, Residual, Same, Up
from vdsm_glass.layers.quantizer import Quantized, VectorQuantizer

KEPT = 2.0
"""The first logit of keeping a pixel: what is not drawn yet is copied from the frame before."""


class InverseModel(nn.Module):
    """u_t = I(x_t, x_{t+1}), to which the nearest code is the action between the two frames.

    The pair is one picture of six channels; four blocks that halve it, a mean over its pixels, and a linear layer. A
    norm without weights bounds u: it would else grow, and with it the terms that draw it towards its code.
    """

    def __init__(self, sizes: LatentActionSizes) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = sizes.inverse_channels
        self.cnn = nn.Sequential(
            Same(6, half, down=2),
            Residual(half, quarter, down=2),
            Residual(quarter, eighth, down=2),
            Residual(eighth, sixteenth, down=2),
        )
        self.head = nn.Linear(in_features=sixteenth, out_features=sizes.code_size)
        self.norm = nn.LayerNorm(normalized_shape=sizes.code_size, elementwise_affine=False)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Args: x_t and x_{t+1}, (n, 3, h, w) in [-1, 1] each.   Returns: u_t (n, code_size) float32."""
        seen = reduce(self.cnn(torch.cat([before, after], dim=1)), "n c h w -> n c", "mean")
        with torch.autocast(device_type=seen.device.type, enabled=False):
            return self.norm(self.head(seen.float()))


class ForwardModel(nn.Module):
    """x̂_{t+1} = g ⊙ x_t[p + v] + (1 - g) ⊙ y, with the share g, the flow v and the drawing y = F(x_{t-M+1}..x_t, a_t).

    A U-Net; the code modulates its two innermost convolutions. It begins with v = 0 and g near 1, a copy of x_t.
    """

    def __init__(self, sizes: LatentActionSizes) -> None:
        super().__init__()
        half, quarter, eighth = sizes.forward_channels
        self.downs = nn.ModuleList(
            [
                Same(3 * sizes.memory, half, down=2),
                Residual(half, quarter, down=2),
                Residual(quarter, eighth, down=2),
            ]
        )
        self.acts = nn.ModuleList(ModulatedConv(eighth, eighth, style_size=sizes.code_size) for _ in range(2))
        self.ups = nn.ModuleList([Up(eighth, quarter), Up(2 * quarter, half), Up(2 * half, half // 2)])
        self.head = nn.Conv2d(in_channels=half // 2 + 3, out_channels=6, kernel_size=3, padding=1)
        with torch.no_grad():
            self.head.weight[3:].zero_()
            self.head.bias[3:].copy_(torch.tensor([KEPT, 0.0, 0.0]))  # pyright: ignore[reportOptionalSubscript]

    def forward(self, past: Tensor, code: Tensor) -> Tensor:
        """Args: past (b, M, 3, h, w) in [-1, 1], x_t the last; code (b, code_size).   Returns: x̂_{t+1} (b, 3, h, w)."""
        frame = past[:, -1]
        x, kept = rearrange(past, "b m c h w -> b (m c) h w"), []
        for down in self.downs:
            x = down(x)
            kept.append(x)
        for act in self.acts:
            x = act(x, code)
        coarse, middle, fine = self.ups
        x = fine(torch.cat([middle(torch.cat([coarse(x), kept[1]], dim=1)), kept[0]], dim=1))
        drawn, share, flow = self.head(torch.cat([x, frame.to(x.dtype)], dim=1)).float().split([3, 1, 2], dim=1)
        g = share.sigmoid()
        return g * moved(frame, flow) + (1 - g) * torch.tanh(drawn)


def moved(pictures: Tensor, flow: Tensor) -> Tensor:
    """pictures[p + v], bilinear, the nearest pixel beyond the edge.

    Args: pictures (n, 3, h, w); flow v (n, 2, h, w) in grid units, (x, y).
    """
    unmoved = torch.eye(2, 3, device=flow.device).expand(len(pictures), 2, 3)
    grid = F.affine_grid(unmoved, size=list(pictures.shape), align_corners=False)
    grid = grid + rearrange(flow, "n xy h w -> n h w xy")
    return F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


@dataclass(frozen=True)
class Prediction:
    """Args: frames x̂_2..x̂_T (b, t-1, 3, h, w) in [-1, 1]; quantized, the actions of the b (t-1) pairs."""

    frames: Tensor
    quantized: Quantized


class LatentActions(DiscreteNetwork):
    """Inverse model, codebook and forward model. A scene remembers the M - 1 frames before the present one."""

    frame_multiple = 16

    def __init__(self, sizes: LatentActionSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.inverse, self.VQ, self.forwards = InverseModel(sizes), VectorQuantizer(sizes), ForwardModel(sizes)

    @property
    def actions(self) -> int:
        return self.sizes.actions

    def quantized(self, video: Tensor) -> Quantized:
        """The actions of the b (t-1) pairs of frames of video (b, t, 3, h, w) in [-1, 1]."""
        before, after = (rearrange(part, "b t c h w -> (b t) c h w") for part in (video[:, :-1], video[:, 1:]))
        return self.VQ(self.inverse(before, after))

    def infer(self, video: Tensor) -> Tensor:
        return rearrange(self.quantized(video).index, "(b t) -> b t", b=len(video))

    def forward(self, video: Tensor, *, T_f: int) -> Prediction:
        """Frames 2..T, each by the action inferred there, from the real frames up to T_f and from drawn ones after it.

        Args: video (b, t, 3, h, w) in [-1, 1].
        """
        quantized = self.quantized(video)
        codes = rearrange(quantized.code, "(b t) k -> t b k", b=len(video))
        scene, frames = self.start(video[:, 0]), []
        for t, code in enumerate(codes):
            scene = self.drawn(scene._replace(frame=video[:, t]) if t < T_f else scene, code)
            frames.append(scene.frame)
        return Prediction(torch.stack(frames, dim=1), quantized)

    def start(self, first: Tensor) -> DrawnScene:
        return DrawnScene(frame=first, memory=first[:, None].expand(-1, self.sizes.memory - 1, -1, -1, -1))

    def advance(self, scene: DrawnScene, action: Tensor) -> DrawnScene:
        return self.drawn(scene, F.embedding(action, self.VQ.codes))

    def drawn(self, scene: DrawnScene, code: Tensor) -> DrawnScene:
        """The scene after an action, given by its code (b, code_size)."""
        past = torch.cat([scene.memory, scene.frame[:, None]], dim=1)
        return DrawnScene(frame=self.forwards(past, code), memory=past[:, 1:])

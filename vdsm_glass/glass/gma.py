"""Global Motion Analysis: foreground, background, and how far each has moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.glass.inpainting import Inpainter
from vdsm_glass.glass.masking import MaskNetwork
from vdsm_glass.glass.shifts import ShiftPredictor
from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.shift import shift


@dataclass(frozen=True)
class Layers:
    """Single frames taken apart.

    Args:
        m: (b, t, 1, h, w) in (0, 1), the mask.
        f: (b, t, 3, h, w), the foreground I ⊙ m, in [-1, 1] and 0 outside.
        b_hat: (b, t, 3, h, w) in [-1, 1], the background with its hole painted.
    """

    m: Tensor
    f: Tensor
    b_hat: Tensor


@dataclass(frozen=True)
class Motion:
    """What moved between each frame and the next.

    Args:
        delta_F, delta_B: (b, t-1, 2) in grid units, of foreground and background.
        f_moved: (b, t-1, 3, h, w), f_t∘Δ_F.
        m_moved: (b, t-1, 1, h, w), m_t∘Δ_F.
        b_moved: (b, t-1, 3, h, w), b̂_t∘Δ_B.
    """

    delta_F: Tensor
    delta_B: Tensor
    f_moved: Tensor
    m_moved: Tensor
    b_moved: Tensor


class GMA(nn.Module):
    """Masks, shifts and backgrounds of a video.  [GLASS section 3.1, Fig. 2]

    Args:
        sizes: widths.
        theta: share of the frame that masks cover on average.
        shifts_from_inpainted: P_b sees the inpainted backgrounds, as in the authors' implementation, instead of the
            masked ones of the text.
    """

    def __init__(self, sizes: GMASizes, *, theta: float, shifts_from_inpainted: bool = False) -> None:
        super().__init__()
        self.M = MaskNetwork(sizes, theta=theta)
        self.P_f = ShiftPredictor(sizes)
        self.P_b = ShiftPredictor(sizes)
        self.N = Inpainter(sizes)
        self.shifts_from_inpainted = shifts_from_inpainted

    def forward(self, video: Tensor) -> tuple[Layers, Motion]:
        """Video (b, t, 3, h, w) in [-1, 1], t at least 2 -> its layers and their motion."""
        layers = self.separate(video)
        background = layers.b_hat if self.shifts_from_inpainted else video * (1 - layers.m)
        return layers, self.motion(layers, background)

    def separate(self, video: Tensor) -> Layers:
        """m = M(I), f = I ⊙ m and b̂ = b ⊙ (1 - m) + N(b) ⊙ m of video (b, t, 3, h, w) in [-1, 1]."""
        b = video.shape[0]
        frames = rearrange(video, "b t c h w -> (b t) c h w")
        m = self.M(frames)
        parts = (m, frames * m, self.inpaint(frames, m))
        return Layers(*(rearrange(part, "(b t) c h w -> b t c h w", b=b) for part in parts))

    def inpaint(self, frames: Tensor, m: Tensor) -> Tensor:
        """b̂ = b ⊙ (1 - m) + N(b) ⊙ m with b = I ⊙ (1 - m): frames (n, 3, h, w), m (n, 1, h, w) -> (n, 3, h, w)."""
        b = frames * (1 - m)
        return b * (1 - m) + self.N(b, m) * m

    def motion(self, layers: Layers, background: Tensor) -> Motion:
        """Δ_F = P_f([f_t, f_{t+1}]), Δ_B = P_b([b_t, b_{t+1}]), and the layers moved by them.

        Args: background: (b, t, 3, h, w), what P_b sees.
        """
        pairs, b = "b t c h w -> (b t) c h w", len(background)
        delta_F, delta_B = (
            predictor(rearrange(seen[:, :-1], pairs), rearrange(seen[:, 1:], pairs))
            for predictor, seen in ((self.P_f, layers.f), (self.P_b, background))
        )
        foreground = rearrange(torch.cat([layers.f, layers.m], dim=2)[:, :-1], pairs)
        moved = rearrange(shift(foreground, delta_F, padding="zeros"), "(b t) c h w -> b t c h w", b=b)
        b_moved = shift(rearrange(layers.b_hat[:, :-1], pairs), delta_B, padding="border")
        return Motion(
            delta_F=rearrange(delta_F, "(b t) xy -> b t xy", b=b),
            delta_B=rearrange(delta_B, "(b t) xy -> b t xy", b=b),
            f_moved=moved[:, :, :3],
            m_moved=moved[:, :, 3:],
            b_moved=rearrange(b_moved, "(b t) c h w -> b t c h w", b=b),
        )

"""Global Motion Analysis: foreground, background, and how far each has moved.  [GLASS section 3.1, Figs. 2 and 9]"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from vdsm_glass.glass.sizes import GMASizes
from vdsm_glass.layers.blocks import SLOPE, Residual, Same, Up, frozen_statistics
from vdsm_glass.layers.shift import shift

FIRST_SHIFT = 1e-3
"""Scale, in grid units, of the shifts that an untrained predictor gives."""
REACH = 0.2
"""Grid units of the largest shift that `GMA.registration` makes."""
HOLE = -1.1
"""Value of masked pixels in the inpainter's input: no picture has it."""
FRAMES = "b t c h w -> (b t) c h w"


class MaskNetwork(nn.Module):
    """m = M(I), where the foreground is.

    The last bias starts at logit(θ): if masks start near one half, GMA ends up covering half of the frame.

    Args:
        sizes: widths.
        theta: share of the frame that masks cover on average, as in Eq. (2).
    """

    def __init__(self, sizes: GMASizes, *, theta: float) -> None:
        super().__init__()
        stem, body = sizes.mask_channels
        self.body = nn.Sequential(
            Same(3, stem, bias=True),
            Residual(stem, body, down=2),
            Residual(body, body, down=2),
            *(Residual(body, body) for _ in range(sizes.mask_blocks)),
            Up(body, stem),
            Residual(stem, stem),
            Up(stem, stem),
            Residual(stem, stem),
        )
        self.head = nn.Conv2d(in_channels=stem, out_channels=1, kernel_size=3, padding=1)
        with torch.no_grad():
            self.head.bias.fill_(math.log(theta / (1 - theta)))  # pyright: ignore[reportOptionalMemberAccess]

    def forward(self, frames: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> (n, 1, h, w) float32 in (0, 1)."""
        # In half precision 1 - m would be 1 for every m below 0.0002, or 0.002 in bfloat16.
        return torch.sigmoid(self.head(self.body(frames)).float())


class ShiftPredictor(nn.Module):
    """Δ = P([x_t, x_{t+1}]), the shift of a layer's content from one frame to the next: P_f and P_b.

    The last layer starts with zero weights and a tiny random bias: the first shifts are almost zero, so that the
    reconstruction losses start from pictures that overlap.
    """

    def __init__(self, sizes: GMASizes) -> None:
        super().__init__()
        channels = (6, *sizes.shift_channels)
        downs = (2, 2, 1, 2, 1)
        hidden = (channels[-1], *sizes.shift_hidden)
        self.features = nn.Sequential(
            *(Same(c_in, c_out, down=down) for (c_in, c_out), down in zip(pairwise(channels), downs, strict=True)),
            nn.AdaptiveAvgPool2d(output_size=1),
            nn.Flatten(),
            *(layer for widths in pairwise(hidden) for layer in self._dense(*widths)),
        )
        self.head = nn.Linear(in_features=hidden[-1], out_features=2)
        nn.init.zeros_(self.head.weight)
        nn.init.normal_(self.head.bias, std=FIRST_SHIFT)

    @staticmethod
    def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        return (
            nn.Linear(in_features=inputs, out_features=outputs),
            nn.BatchNorm1d(num_features=outputs),
            nn.LeakyReLU(negative_slope=SLOPE, inplace=True),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """(n, 3, h, w) each -> (n, 2) float32, (x, y) in grid units: how `before`'s content moves to match `after`."""
        return self.head(self.features(torch.cat([before, after], dim=1))).float()


class Inpainter(nn.Module):
    """N(b), a background without holes."""

    def __init__(self, sizes: GMASizes) -> None:
        super().__init__()
        first, second, third = sizes.inpaint_channels
        self.layers = nn.Sequential(
            Same(3, first, down=2),
            Same(first, second, down=2),
            Same(second, second),
            Same(second, third, down=2),
            Same(third, third),
            Same(third, third),
            Up(third, second),
            Up(second, second),
            Up(second, first),
            nn.Conv2d(in_channels=first, out_channels=3, kernel_size=3, padding=1),
        )

    def forward(self, background: Tensor, mask: Tensor) -> Tensor:
        """N(b), with b's masked pixels at -1.1.

        Args: background (n, 3, h, w) in [-1, 1], 0 where masked; mask (n, 1, h, w).   Returns: (n, 3, h, w) in (-1, 1).
        """
        return torch.tanh(self.layers(background + HOLE * mask).float())


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


@dataclass(frozen=True)
class Foregrounds:
    """What LMA sees of an analysis, without gradient to GMA.

    Args:
        f: f_1..f_T (b, t, 3, h, w) in [-1, 1], whole frames or windows, see `around_agents`.
        m: their masks (b, t, 1, h, w) in [0, 1].
        f_moved: f_t∘Δ_F (b, t-1, 3, h, w).
        delta_F: (b, t-1, 2) in grid units of the frame.
    """

    f: Tensor
    m: Tensor
    f_moved: Tensor
    delta_F: Tensor

    @classmethod
    def of(cls, layers: Layers, motion: Motion) -> Foregrounds:
        """Those of an analysis, in whole frames."""
        return cls(layers.f.detach(), layers.m.detach(), motion.f_moved.detach(), motion.delta_F.detach())


class GMA(nn.Module):
    """M, P_f, P_b and N: masks, shifts and backgrounds of a video.

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

    def with_holes(self, video: Tensor) -> tuple[Layers, Motion]:
        """As `forward`, but nothing is inpainted: b̂ is what masks leave of the background. M has no gradient."""
        with torch.no_grad():
            m = rearrange(self.M(rearrange(video, FRAMES)), "(b t) c h w -> b t c h w", b=len(video))
            layers = Layers(m=m, f=video * m, b_hat=video * (1 - m))
        return layers, self.motion(layers, layers.b_hat)

    @torch.no_grad()
    def foregrounds(self, video: Tensor) -> Foregrounds:
        """Those of video (b, t, 3, h, w) in [-1, 1] alone; backgrounds, which take half of the time, are left out."""
        frames = rearrange(video, FRAMES)
        m = self.M(frames)
        f, m = (rearrange(part, "(b t) c h w -> b t c h w", b=len(video)) for part in (frames * m, m))
        before, after = rearrange(f[:, :-1], FRAMES), rearrange(f[:, 1:], FRAMES)
        delta_F = self.P_f(before, after)
        f_moved, delta_F = (
            rearrange(part, "(b t) ... -> b t ...", b=len(video))
            for part in (shift(before, delta_F, padding="zeros"), delta_F)
        )
        return Foregrounds(f=f, m=m, f_moved=f_moved, delta_F=delta_F)

    def separate(self, video: Tensor) -> Layers:
        """m = M(I), f = I ⊙ m and b̂ = b ⊙ (1 - m) + N(b) ⊙ m of video (b, t, 3, h, w) in [-1, 1]."""
        frames = rearrange(video, FRAMES)
        m = self.M(frames)
        parts = (m, frames * m, self.inpaint(frames, m))
        return Layers(*(rearrange(part, "(b t) c h w -> b t c h w", b=len(video)) for part in parts))

    def inpaint(self, frames: Tensor, m: Tensor) -> Tensor:
        """b̂ = b ⊙ (1 - m) + N(b) ⊙ m with b = I ⊙ (1 - m): frames (n, 3, h, w), m (n, 1, h, w) -> (n, 3, h, w)."""
        b = frames * (1 - m)
        return b * (1 - m) + self.N(b, m) * m

    def motion(self, layers: Layers, background: Tensor) -> Motion:
        """Δ_F = P_f([f_t, f_{t+1}]), Δ_B = P_b([b_t, b_{t+1}]), and the layers moved by them.

        Args: background: (b, t, 3, h, w), what P_b sees.
        """
        b = len(background)
        delta_F, delta_B = (
            predictor(rearrange(seen[:, :-1], FRAMES), rearrange(seen[:, 1:], FRAMES))
            for predictor, seen in ((self.P_f, layers.f), (self.P_b, background))
        )
        foreground = rearrange(torch.cat([layers.f, layers.m], dim=2)[:, :-1], FRAMES)
        moved = rearrange(shift(foreground, delta_F, padding="zeros"), "(b t) c h w -> b t c h w", b=b)
        b_moved = shift(rearrange(layers.b_hat[:, :-1], FRAMES), delta_B, padding="border")
        return Motion(
            delta_F=rearrange(delta_F, "(b t) xy -> b t xy", b=b),
            delta_B=rearrange(delta_B, "(b t) xy -> b t xy", b=b),
            f_moved=moved[:, :, :3],
            m_moved=moved[:, :, 3:],
            b_moved=rearrange(b_moved, "(b t) c h w -> b t c h w", b=b),
        )

    def registration(self, layers: Layers, motion: Motion) -> Tensor:
        """How far P_f is from shifts that are known, because they were made: E|P_f(x, y∘δ) - (P_f(x, y) + δ)|.

        Not in the paper. L_RECF has a gradient only where a figure overlaps its next position, and a predictor that has
        not found an axis is told nothing about it: P_f knew left from right long before up from down. Here x is f_t; y
        is f_{t+1}, and x itself, whose shift is δ; δ is uniform, up to `REACH`. P_f(x, y) is taken as it is.

        Args: the analysis of a video.   Returns: a scalar in grid units.
        """
        x, y = (rearrange(part.detach(), FRAMES) for part in (layers.f[:, :-1], layers.f[:, 1:]))
        found = rearrange(motion.delta_F.detach(), "b t xy -> (b t) xy")
        delta = REACH * (2 * torch.rand(2 * len(x), 2, device=x.device) - 1)
        moved = shift(torch.cat([y, x]), delta, padding="zeros")
        with frozen_statistics(self.P_f):
            predicted = self.P_f(torch.cat([x, x]), moved)
        return (predicted - delta - torch.cat([found, torch.zeros_like(found)])).abs().mean()

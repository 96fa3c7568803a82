"""What is drawn against what it should be: terms of which the losses of several models are made.

Means are taken over pixels, channels, time and batch. All is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""(drawn, target), each (n, 3, h, w) in [-1, 1] -> a scalar."""
FRAMES = "b t c h w -> (b t) c h w"


def motion_weight(f: Tensor, f_hat: Tensor) -> Tensor:
    """ω_UNS = ‖f_t - f_{t+1}‖₁ + ‖f̂_t - f̂_{t+1}‖₁ per pixel, without gradient; f̂_1 is f_1.  [Eq. (7)]

    Args: f (b, t, 3, h, w), without gradient; f_hat (b, t-1, 3, h, w), frames 2..T.   Returns: (b, t-1, 1, h, w).
    """
    drawn = torch.cat([f[:, :1], f_hat.detach().float()], dim=1)
    return channel_sum(f[:, :-1] - f[:, 1:]) + channel_sum(drawn[:, :-1] - drawn[:, 1:])


def weighted_loss(scales: list[tuple[Tensor, Tensor]], weight: Tensor) -> Tensor:
    """‖sg[ω] ⊙ (f_{t+1} - f̂_{t+1})‖₁, the mean over the scales.  [Eqs. (7) and (9)]

    Args: scales: (drawn, target) pairs, each (b, t, 3, h_s, w_s). weight: (b, t, 1, h, w), of the finest scale.
    """
    losses = [(resized(weight, like=drawn) * (wanted - drawn.float()).abs()).mean() for drawn, wanted in scales]
    return torch.stack(losses).mean()


def perceptual_loss(scales: list[tuple[Tensor, Tensor]], perceptual: Perceptual) -> Tensor:
    """L_VGG, the mean over the scales.  [GLASS Eq. (8)]   Args: scales, as in `weighted_loss`."""
    losses = [perceptual(rearrange(drawn, FRAMES), rearrange(wanted, FRAMES)) for drawn, wanted in scales]
    return torch.stack(losses).mean()


def resized(pictures: Tensor, *, like: Tensor) -> Tensor:
    """Pictures (b, t, c, h, w), bilinearly resized to the height and width of `like`."""
    if pictures.shape[-2:] == like.shape[-2:]:
        return pictures
    b = pictures.shape[0]
    smaller = F.interpolate(rearrange(pictures, FRAMES), size=like.shape[-2:], mode="bilinear", align_corners=False)
    return rearrange(smaller, "(b t) c h w -> b t c h w", b=b)


def channel_sum(difference: Tensor) -> Tensor:
    """‖·‖₁ per pixel: (b, t, c, h, w) -> (b, t, 1, h, w)."""
    return reduce(difference.abs(), "b t c h w -> b t 1 h w", "sum")

"""Shifting pictures by Δ.

Δ = (x, y) says how the content moves, x to the right and y down. Inside the networks it is in the grid units of
`affine_grid`, of which 2 are the full width or height; everywhere else it is in pixels of the frame.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zeros", "border"]


def to_pixels(delta: Tensor, *, height: int, width: int) -> Tensor:
    """Δ_px = Δ · (W/2, H/2): shifts (..., 2) in grid units -> in pixels."""
    return delta * delta.new_tensor([width / 2, height / 2])


def to_grid(pixels: Tensor, *, height: int, width: int) -> Tensor:
    """Δ = Δ_px / (W/2, H/2): shifts (..., 2) in pixels -> in grid units."""
    return pixels / pixels.new_tensor([width / 2, height / 2])


def shift(pictures: Tensor, delta: Tensor, *, padding: Padding) -> Tensor:
    """f∘Δ[p] = f[p - Δ], bilinear: the content moves by +Δ.

    The paper writes f[p + Δ], with which Δ would say how the camera moves; labels say how the content moves.

    Args:
        pictures: (n, c, h, w).
        delta: (n, 2) in grid units.
        padding: what moves in from outside: zeros, for foregrounds and masks, or the border, for backgrounds.

    Returns: (n, c, h, w) float32 under autocast too, because half precision would round positions to parts of a pixel.
    """
    with torch.autocast(device_type=pictures.device.type, enabled=False):
        unmoved = torch.eye(2, dtype=torch.float32, device=delta.device).expand(len(delta), 2, 2)
        theta = torch.cat([unmoved, -delta.float()[:, :, None]], dim=2)
        grid = F.affine_grid(theta, size=list(pictures.shape), align_corners=False)
        return F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode=padding, align_corners=False)

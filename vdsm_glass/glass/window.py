"""Windows that go along with an agent, in which LMA may work instead of in whole frames.

A position is that of a window's middle, (x, y) in pixels of the frame, x to the right and y down; the middle of the
first pixel is at (0.5, 0.5). At whole positions windows have the frame's own pixels, elsewhere they are bilinear.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.layers.shift import to_pixels


def middles(m: Tensor) -> Tensor:
    """Where agents are: the middle of each mask m (n, 1, h, w) in [0, 1], to whole pixels, (n, 2), without gradient."""
    _, _, h, w = m.shape
    m = m.detach().float()
    area = reduce(m, "n 1 h w -> n", "sum").clamp(min=1e-3)
    across, down = (torch.arange(side, device=m.device) + 0.5 for side in (w, h))
    found = [reduce(m[:, 0] * at, "n h w -> n", "sum") / area for at in (across, down[:, None])]
    return torch.stack(found, dim=1).round()


def cut(pictures: Tensor, at: Tensor, *, side: int) -> Tensor:
    """What windows show, zeros beyond the frame.

    Args: pictures (n, c, h, w); at (n, 2), see the module; side in pixels, even.   Returns: (n, c, side, side) float32.
    """
    h, w = pictures.shape[-2:]
    return resampled(pictures, at.new_tensor([side / w, side / h]), 2 * at / at.new_tensor([w, h]) - 1, side, side)


def pasted(windows: Tensor, at: Tensor, *, height: int, width: int) -> Tensor:
    """Windows (n, c, side, side) put back where they are, zeros around: (n, c, height, width) float32."""
    side = windows.shape[-1]
    size = at.new_tensor([width, height])
    return resampled(windows, size / side, (size - 2 * at) / side, height, width)


def centred(windows: Tensor, m: Tensor) -> Tensor:
    """Windows (n, c, side, side) moved so that the agents of masks m (n, 1, side, side) are in the middle."""
    return cut(windows, middles(m), side=windows.shape[-1])


def around_agents(seen: Foregrounds, *, side: int) -> Foregrounds:
    """Foregrounds in windows that lie around agents and go along with Δ_F.

    Not in the paper, whose LMA sees whole frames. The first window is around the first mask; each later one is Δ_F
    from the one before. So f_t∘Δ_F is what the window showed before: transport takes no drawing, and nothing is
    blurred by being moved again and again. A figure is always about the same place, and most of the frame need not be
    drawn.

    Args: seen, in whole frames; side in pixels.   Returns: f, m and f_moved in windows, (b, t, c, side, side).
    """
    frames = rearrange(torch.cat([seen.f, seen.m], dim=2), "b t c h w -> (b t) c h w")
    at = rearrange(places(seen.m[:, 0], seen.delta_F), "b t xy -> (b t) xy")
    windows = rearrange(cut(frames, at, side=side), "(b t) c h w -> b t c h w", b=len(seen.f))
    f, m = windows[:, :, :3], windows[:, :, 3:]
    return Foregrounds(f=f, m=m, f_moved=f[:, :-1], delta_F=seen.delta_F)


def places(first: Tensor, delta_F: Tensor) -> Tensor:
    """Where windows are: around the first masks (b, 1, h, w), then on by Δ_F (b, t-1, 2) in grid units: (b, t, 2)."""
    at = middles(first)[:, None]
    walked = to_pixels(delta_F, height=first.shape[-2], width=first.shape[-1]).cumsum(dim=1)
    return torch.cat([at, at + walked], dim=1)


def resampled(pictures: Tensor, scale: Tensor, offset: Tensor, height: int, width: int) -> Tensor:
    """Pictures (n, c, ...) at scale (2,) times the points of a grid, plus offset (n, 2), in grid units."""
    with torch.autocast(device_type=pictures.device.type, enabled=False):
        theta = torch.cat([torch.diag(scale).expand(len(offset), 2, 2), offset[:, :, None]], dim=2).float()
        grid = F.affine_grid(theta, size=[len(offset), 1, height, width], align_corners=False)
        return F.grid_sample(pictures.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)

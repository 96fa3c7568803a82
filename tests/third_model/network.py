"""The network: how strongly motion is drawn is all that it learns."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MeanFrame(nn.Module):
    """x̂_t = mean(x) + gain ⊙ (x_t - mean(x)), with a gain for each colour.  Args: start, of the gains."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((3, 1, 1), start))

    def identity(self, video: Tensor) -> Tensor:
        """(b, t, 3, h, w) -> (b, 1, 3, h, w)"""
        return video.mean(dim=1, keepdim=True)

    def forward(self, video: Tensor, identity: Tensor) -> Tensor:
        """The motion of `video` (b, t, 3, h, w) on an identity (b, 1, 3, h, w)."""
        return (identity + self.gain * (video - self.identity(video))).clamp(0, 1)

"""KID, the kernel distance beside FID: unbiased, so that few frames do not make it larger."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd
from torchmetrics.utilities import dim_zero_cat

from data_modules.common.errors import UserError
from vdsm_glass.metrics.features import Extractor
from vdsm_glass.metrics.states import StatefulMetric

SUBSETS, SUBSET = 100, 1000


class KID(StatefulMetric):
    """MMD² with the kernel (x·y / f + 1)³ between features of all frames.  [Bińkowski et al. 2018]

    The mean over 100 random subsets of 1000 frames a side, or of as many as there are; it may be below 0. All features
    are kept: 8 KB a frame with Inception.

    Args: extractor; chunk, frames that it is given at once; seed, of the subsets.

    >>> from vdsm_glass.metrics.features import random_frame_features
    >>> metric = KID(random_frame_features(seed=0))
    >>> video = torch.rand(2, 3, 3, 16, 16)
    >>> metric.update(video, real=True)
    >>> metric.update(video, real=False)
    >>> abs(metric.compute().item()) < 1e-3
    True
    """

    higher_is_better = False

    def __init__(self, extractor: Extractor, *, chunk: int = 32, seed: int = 0) -> None:
        super().__init__()
        self.extractor, self.chunk, self.seed = extractor, chunk, seed
        self.network_info = extractor.info
        self.add_lists("real", "generated")

    def update(self, video: Tensor, *, real: bool) -> None:
        """Args: video (b, t, 3, h, w) in [0, 1]."""
        (self.real if real else self.generated).append(self.extractor.of_frames(video, chunk=self.chunk))

    def compute(self) -> Tensor:
        """The distance, a float64 scalar.  Raises: UserError, a side has fewer than two frames."""
        if not self.real or not self.generated:
            raise UserError("KID needs frames on both sides; score clips of both")
        sides = [dim_zero_cat(side).double() for side in (self.real, self.generated)]
        size = min(SUBSET, *map(len, sides))
        if size < 2:
            raise UserError("KID needs at least 2 frames on each side; score more of them")
        if not all(side.isfinite().all() for side in sides):
            raise UserError("KID: features of the video are not finite; look for NaN in it")
        draw = np.random.default_rng(self.seed)
        # All frames are one subset.
        subsets = 1 if size == max(map(len, sides)) else SUBSETS

        def drawn(side: Tensor) -> Tensor:
            return side[draw.choice(len(side), size, replace=False)]

        return torch.stack([poly_mmd(drawn(sides[0]), drawn(sides[1])) for _ in range(subsets)]).mean()

"""Masks against true masks."""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor

from vdsm_glass.metrics.states import StatefulMetric


def soft_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """Σ m̂ m / Σ (1 - (1 - m̂)(1 - m)) over the pixels of each frame, the IoU of GLASS's Table 1.

    For binary masks this is the usual intersection over union.

    Args: predicted, target: (..., 1, h, w) in [0, 1].   Returns: (...) in [0, 1]; 1 where both are empty.
    """
    intersection, union = (
        reduce(part, "... 1 h w -> ...", "sum") for part in (predicted * target, 1 - (1 - predicted) * (1 - target))
    )
    return torch.where(union > 0, intersection / union.clamp(min=torch.finfo(union.dtype).tiny), 1.0)


class MaskIoU(StatefulMetric):
    """mIoU: `soft_iou` per frame, then the mean over all frames.  [GLASS section 6, Table 1]

    `compute` gives two scalars in [0, 1]: `soft`, of the mask as it is, which the paper publishes, and `thresholded`,
    of the mask thresholded at 0.5.

    >>> metric = MaskIoU()
    >>> metric.update(torch.tensor([[[[1.0, 0.6]]]]), torch.tensor([[[[1.0, 0.0]]]]))
    >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
    {'soft': 0.625, 'thresholded': 0.5}
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("soft", "thresholded", "frames")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Args: predicted (..., 1, h, w) in [0, 1]; target (..., 1, h, w) in {0, 1}."""
        predicted, target = predicted.float(), target.float()
        thresholded = soft_iou((predicted > 0.5).float(), target)
        self.count(soft=soft_iou(predicted, target).sum(), thresholded=thresholded.sum(), frames=thresholded.numel())

    def compute(self) -> dict[str, Tensor]:
        return {"soft": self.soft / self.frames, "thresholded": self.thresholded / self.frames}

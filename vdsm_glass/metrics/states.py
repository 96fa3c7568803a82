"""What our metrics have in common: states that add up over batches and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torchmetrics import Metric


class StatefulMetric(Metric):
    """A metric without gradients. A subclass names its states, which are then attributes, and adds to them."""

    is_differentiable = False
    full_state_update = False

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def add_sums(self, *names: str, shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float32) -> None:
        """Adds tensors of zeros; those of several processes are summed."""
        for name in names:
            self.add_state(name, default=torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    def count(self, **values: Any) -> None:
        """Adds to the sums of these names."""
        for name, value in values.items():
            getattr(self, name).add_(value)

    def add_lists(self, *names: str) -> None:
        """Adds lists of tensors; those of several processes are joined along the first axis."""
        for name in names:
            self.add_state(name, default=[], dist_reduce_fx="cat")

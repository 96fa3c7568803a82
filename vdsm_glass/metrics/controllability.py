"""Whether an action always moves things the same way: Δ-MSE and Δ-Acc of CADDY.  [Menapace et al. 2021]"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class DeltaMSE(Metric):
    """Δ-MSE: the variance of the true movement within an action over its whole variance, in %.

    0 if the action determines the movement, 100 if it says nothing about it; NaN if every movement is the same.

    Args:
        actions: K.
        size: numbers in a movement, 2 for (x, y).

    >>> metric = DeltaMSE(actions=2)
    >>> metric.update(torch.tensor([[0.0, 0], [2, 0], [10, 0], [12, 0]]), torch.tensor([0, 0, 1, 1]))
    >>> round(metric.compute().item(), 3)
    3.846
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    n: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self, *, actions: int, size: int = 2) -> None:
        super().__init__()
        self.add_state("n", default=torch.zeros(actions, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", default=torch.zeros(actions, size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, movement: Tensor, action: Tensor) -> None:
        """Args: movement (..., size) in any unit, true and finite; action (...) int64, inferred."""
        rows, labels = movement.flatten(end_dim=-2).double(), action.flatten()
        self.n.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        self.total.index_add_(0, labels, rows)
        self.squares += rows.square().sum()

    def compute(self) -> Tensor:
        of_action = (self.total.square().sum(dim=1) / self.n.clamp(min=1)).sum()
        variance = self.squares - self.total.sum(dim=0).square().sum() / self.n.sum()
        # Of equal movements rounding leaves a variance of this size.
        moved = variance > 1e-12 * self.squares
        return torch.where(moved, 100 * (self.squares - of_action) / variance, torch.nan)


class DeltaAccuracy(Metric):
    """Δ-Acc in [0, 1]: how often a linear SVM tells the action from the movement, on pairs it was not fitted to.

    It is fitted to a random half of the pairs and scored on the other half; the published code scores on the pairs of
    the fit. Pairs are sorted before they are split: the score depends on them and on the seed, but not on the number of
    processes. NaN if the half for the fit has only one action.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    movements: list[Tensor]
    actions: list[Tensor]

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.add_state("movements", default=[], dist_reduce_fx="cat")
        self.add_state("actions", default=[], dist_reduce_fx="cat")

    def update(self, movement: Tensor, action: Tensor) -> None:
        """Args: movement (..., m) in any unit, true and finite; action (...) int64, inferred."""
        self.movements.append(movement.flatten(end_dim=-2).float())
        self.actions.append(action.flatten())

    def compute(self) -> Tensor:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        movements = dim_zero_cat(self.movements).numpy(force=True)
        actions = dim_zero_cat(self.actions).numpy(force=True)
        order = np.lexsort([*movements.T, actions])
        order = order[np.random.default_rng(self.seed).permutation(len(order))]
        fitted, scored = order[: len(order) // 2], order[len(order) // 2 :]
        if len(np.unique(actions[fitted])) < 2:
            return torch.tensor(torch.nan, dtype=torch.float64, device=self.device)
        svm = make_pipeline(StandardScaler(), LinearSVC(dual="auto", max_iter=5000))
        svm.fit(movements[fitted], actions[fitted])
        return torch.tensor(svm.score(movements[scored], actions[scored]), dtype=torch.float64, device=self.device)

"""Whether an action always moves things the same way: Δ-MSE and Δ-Acc of CADDY.  [Menapace et al. 2021]"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from data_modules.common.errors import UserError


class DeltaMSE(Metric):
    """Δ-MSE: variance of the true movement within an action over its variance at all, in %.

    0 where the action says all about the movement, 100 where it says nothing.

    Args:
        actions: K.
        size: numbers that a movement has, 2 for (x, y).

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
        self.protocol: dict[str, str] = {}
        self.add_state("n", default=torch.zeros(actions, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", default=torch.zeros(actions, size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, movement: Tensor, action: Tensor) -> None:
        """Args: movement (..., size) in any unit, true and finite; action (...) int64, what was inferred."""
        rows, labels = movement.flatten(end_dim=-2).double(), action.flatten()
        self.n.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        self.total.index_add_(0, labels, rows)
        self.squares += rows.square().sum()

    def compute(self) -> Tensor:
        """Raises: UserError, nothing moved."""
        of_action = (self.total.square().sum(dim=1) / self.n.clamp(min=1)).sum()
        of_all = self.total.sum(dim=0).square().sum() / self.n.sum()
        variance = self.squares - of_all
        if not variance > 0:
            raise UserError("Δ-MSE: every movement is the same, so that no action could explain it; score other clips")
        return 100 * (self.squares - of_action) / variance


class DeltaAccuracy(Metric):
    """Δ-Acc in [0, 1]: how often a linear SVM tells the action from the movement, on the half it was not fitted to.

    The published code scores on the pairs that it was fitted to. Pairs are sorted before they are halved at random: the
    score depends on them and on the seed, and not on the number of processes.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    movements: list[Tensor]
    actions: list[Tensor]

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.protocol: dict[str, str] = {}
        self.seed = seed
        self.add_state("movements", default=[], dist_reduce_fx="cat")
        self.add_state("actions", default=[], dist_reduce_fx="cat")

    def update(self, movement: Tensor, action: Tensor) -> None:
        """Args: movement (..., m) in any unit, true and finite; action (...) int64, what was inferred."""
        self.movements.append(movement.flatten(end_dim=-2).float())
        self.actions.append(action.flatten())

    def compute(self) -> Tensor:
        """Raises: UserError, the half that the SVM is fitted to has one action only."""
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        movements = dim_zero_cat(self.movements).numpy(force=True)
        actions = dim_zero_cat(self.actions).numpy(force=True)
        order = np.lexsort([*movements.T, actions])
        order = order[np.random.default_rng(self.seed).permutation(len(order))]
        fitted, scored = order[: len(order) // 2], order[len(order) // 2 :]
        if len(np.unique(actions[fitted])) < 2:
            raise UserError("Δ-Acc: all movements are of one action, or there are too few of them; score more clips")
        svm = make_pipeline(StandardScaler(), LinearSVC(dual="auto", max_iter=5000))
        svm.fit(movements[fitted], actions[fitted])
        return torch.tensor(svm.score(movements[scored], actions[scored]), dtype=torch.float64, device=self.device)

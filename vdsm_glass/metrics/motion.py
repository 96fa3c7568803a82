"""Shifts against true shifts, and whether an action always moves things the same way: CADDY's Δ-MSE and Δ-Acc.

[GLASS section 6; Menapace et al. 2021]
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from vdsm_glass.metrics.states import StatefulMetric

RIGHT_DIRECTION = math.cos(math.radians(45))


def shift_error(predicted: Tensor, target: Tensor) -> Tensor:
    """‖Δ̂ - Δ‖₂.  [GLASS section 6]   Args: (..., 2) each, in pixels.   Returns: (...) in pixels."""
    return torch.linalg.vector_norm(predicted - target, dim=-1)


def right_direction(predicted: Tensor, target: Tensor) -> Tensor:
    """∠(Δ̂, Δ) < 45°; false where Δ̂ is zero and has no direction.  [GLASS section 6]

    Args: (..., 2) each.   Returns: (...) bool, meaningless where target is zero.
    """
    return F.cosine_similarity(predicted, target, dim=-1) > RIGHT_DIRECTION


def in_walk_units(shift: Tensor, walk: tuple[float, float]) -> Tensor:
    """2 Δ / R, the ground truth of the published Table 2, where R is the reach of the layer's walk.

    The published errors are ‖Δ̂ - 2 Δ / R‖₂ with Δ̂ in pixels of the frame. A good predictor therefore does not score
    near zero, and the score grows with the share of frames that move. With the authors' data a perfect predictor gets:

    - foreground: steps of 7 px, R = (128 - 64, 96 - 64) = (64, 32): at most 7 - 2·7/64 = 6.78, about 3.8 on average
      (published: 4.34, at most 8.32);
    - background: steps of 2 pixels of a landscape, which are 1 px of the frame, R = 25 of them, which are 12.5 px: at
      most 1 - 2·1/12.5 = 0.84, about 0.51 on average (published: 0.51, at most 0.86).

    Our landscape moves 2 px of the frame in R = 50 px, where a perfect predictor gets at most 2 - 2·2/50 = 1.92.
    Therefore a perfect predictor's score on the data at hand is reported beside the score.

    Args: shift (..., 2) and walk R (x, y), both in pixels of the frame.   Returns: (..., 2), as a share of half of R.
    """
    return 2 * shift / shift.new_tensor(walk)


class ShiftError(StatefulMetric):
    """Shift error in pixels over all pairs of frames.  [GLASS Table 2]

    `compute` gives scalars in pixels: `mean`, `min`, `max`.

    >>> metric = ShiftError()
    >>> metric.update(torch.tensor([[7.0, 0.5], [0.0, 0.1]]), torch.tensor([[7.0, 0.0], [0.0, 0.0]]))
    >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
    {'mean': 0.3, 'min': 0.1, 'max': 0.5}
    """

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("total", "pairs")
        self.add_state("least", default=torch.tensor(math.inf), dist_reduce_fx="min")
        self.add_state("largest", default=torch.tensor(0.0), dist_reduce_fx="max")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Args: predicted, target: (..., 2) in pixels, (x, y)."""
        error = shift_error(predicted.float(), target.float())
        self.count(total=error.sum(), pairs=error.numel())
        self.least = torch.minimum(self.least, error.min())
        self.largest = torch.maximum(self.largest, error.max())

    def compute(self) -> dict[str, Tensor]:
        return {"mean": self.total / self.pairs, "min": self.least, "max": self.largest}


class AngleAccuracy(StatefulMetric):
    """∠-ACC in [0, 1]: the share of right directions among pairs whose true shift is not zero.  [GLASS section 6]

    `compute` gives a scalar; NaN if nothing has moved.

    >>> metric = AngleAccuracy()
    >>> metric.update(torch.tensor([[3.0, 2.0], [2.0, 3.0], [5.0, 5.0]]), torch.tensor([[7.0, 0], [7.0, 0], [0, 0]]))
    >>> metric.compute().item()
    0.5
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_sums("right", "moving")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Args: predicted, target: (..., 2), (x, y)."""
        moving = (target != 0).any(dim=-1)
        self.count(right=(right_direction(predicted.float(), target.float()) & moving).sum(), moving=moving.sum())

    def compute(self) -> Tensor:
        return self.right / self.moving


class DeltaMSE(StatefulMetric):
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

    higher_is_better = False

    def __init__(self, *, actions: int, size: int = 2) -> None:
        super().__init__()
        self.add_sums("n", shape=(actions,), dtype=torch.float64)
        self.add_sums("total", shape=(actions, size), dtype=torch.float64)
        self.add_sums("squares", dtype=torch.float64)

    def update(self, movement: Tensor, action: Tensor) -> None:
        """Args: movement (..., size) in any unit, true and finite; action (...) int64, inferred."""
        rows, labels = movement.flatten(end_dim=-2).double(), action.flatten()
        self.n.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        self.total.index_add_(0, labels, rows)
        self.count(squares=rows.square().sum())

    def compute(self) -> Tensor:
        of_action = (self.total.square().sum(dim=1) / self.n.clamp(min=1)).sum()
        variance = self.squares - self.total.sum(dim=0).square().sum() / self.n.sum()
        # Of equal movements rounding leaves a variance of this size.
        moved = variance > 1e-12 * self.squares
        return torch.where(moved, 100 * (self.squares - of_action) / variance, torch.nan)


class DeltaAccuracy(StatefulMetric):
    """Δ-Acc in [0, 1]: how often a linear SVM tells the action from the movement, on pairs it was not fitted to.

    It is fitted to a random half of the pairs and scored on the other half; the published code scores on the pairs of
    the fit. Pairs are sorted before they are split: the score depends on them and on the seed, but not on the number of
    processes. NaN if the half for the fit has only one action.
    """

    higher_is_better = True

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.add_lists("movements", "actions")

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

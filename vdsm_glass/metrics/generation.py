"""How generated clips look to a classifier of real ones: accuracy, inception score and its two entropies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


def balanced(labels: np.ndarray, *, most: int | None = None, seed: int) -> np.ndarray:
    """As many clips of every label, drawn without replacement; those of unknown label, -1, are left out.

    Args: labels (n,); most, clips in all, but at least one a label; all that the rarest label allows by default.
    Returns: positions in `labels`, ascending.

    >>> labels = np.array([3, 3, 3, 5, -1, 5])
    >>> labels[balanced(labels, seed=0)].tolist()
    [3, 3, 5, 5]
    """
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    if not len(found):
        return np.zeros(0, np.int64)
    each = counts.min() if most is None else min(counts.min(), max(1, most // len(found)))
    generator = np.random.default_rng(seed)
    chosen = [generator.choice(np.flatnonzero(labels == label), each, replace=False) for label in found]
    return np.sort(np.concatenate(chosen))


class JudgeScores(Metric):
    """Scores of clips x by a judge's p(y | x).  [Salimans et al. 2016, with natural logarithms]

    `compute` gives scalars, with p(y) the mean of p(y | x) over all clips:
    `acc`, how often the likeliest label is the one the clip should have; NaN where no clip's is known;
    `h_y`, H(y) = -Σ_y p(y) log p(y), at most log K: do clips differ?
    `h_y_given_x`, H(y | x) = -mean_x Σ_y p(y | x) log p(y | x): 0 where the judge is sure of every clip;
    `is`, IS = exp(mean_x KL(p(y | x) || p(y))), in [1, K]. The mean of KL is H(y) - H(y | x), which is how it is
    computed, since p(y) is known only when all clips were seen.

    Clips should be balanced over labels (`balanced`): H(y) of real clips is then log K.

    Args: classes, K.

    >>> scores = JudgeScores(classes=2)
    >>> scores.update(torch.eye(2), torch.tensor([0, 1]))
    >>> {name: round(value.item(), 4) for name, value in scores.compute().items()}
    {'acc': 1.0, 'is': 2.0, 'h_y': 0.6931, 'h_y_given_x': 0.0}
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    right: Tensor
    known: Tensor
    seen: Tensor
    probability: Tensor
    entropy: Tensor

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        for count in ("right", "known", "seen"):
            self.add_state(count, default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("probability", default=torch.zeros(classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("entropy", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probabilities: Tensor, wanted: Tensor) -> None:
        """Args: probabilities (b, classes), rows sum to 1; wanted (b,) int64, -1 where unknown."""
        self.right += (probabilities.argmax(dim=1) == wanted).sum()
        self.known += (wanted >= 0).sum()
        self.seen += len(probabilities)
        probabilities = probabilities.double()
        self.probability += probabilities.sum(dim=0)
        self.entropy += torch.special.entr(probabilities).sum()

    def compute(self) -> dict[str, Tensor]:
        h_y = torch.special.entr(self.probability / self.seen).sum()
        h_y_given_x = self.entropy / self.seen
        return {
            "acc": self.right.double() / self.known,
            "is": torch.exp(h_y - h_y_given_x),
            "h_y": h_y,
            "h_y_given_x": h_y_given_x,
        }

"""Scores of clips by a judge of real ones, from what it says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.loading.clips import ClipDataset
from vdsm_glass.judge.judge import Judge
from vdsm_glass.judge.labels import ACTION, split_labels
from vdsm_glass.metrics.clip_choice import balanced, partners
from vdsm_glass.metrics.states import StatefulMetric

Judged = dict[str, Tensor]
"""p(y | x) of n clips, (n, classes) by head."""

REAL, RECONSTRUCTION, SWAP = "real", "reconstruction", "swap"
FROZEN_DYNAMICS, FROZEN_IDENTITY = "frozen_dynamics", "frozen_identity"
FITTED = "_fitted"
ALL = "all"


class JudgeScores(StatefulMetric):
    """Scores of clips x by a judge's p(y | x).  [Salimans et al. 2016, with natural logarithms]

    `compute` gives scalars, with p(y) the mean of p(y | x) over all clips:
    `acc`, how often the likeliest label is the one the clip should have; NaN if that is known of no clip;
    `h_y`, H(y) = -Σ_y p(y) log p(y), at most log K: how much clips differ;
    `h_y_given_x`, H(y | x) = -mean_x Σ_y p(y | x) log p(y | x): 0 if the judge is sure of every clip;
    `is`, the inception score exp(mean_x KL(p(y | x) || p(y))) = exp(H(y) - H(y | x)), in [1, K].

    Clips should be balanced over labels (`balanced`): H(y) of real clips is then log K.

    Args: classes, K.

    >>> scores = JudgeScores(classes=2)
    >>> scores.update(torch.eye(2), torch.tensor([0, 1]))
    >>> {name: round(value.item(), 4) for name, value in scores.compute().items()}
    {'acc': 1.0, 'is': 2.0, 'h_y': 0.6931, 'h_y_given_x': 0.0}
    """

    higher_is_better = True

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.add_sums("right", "known", "seen", dtype=torch.int64)
        self.add_sums("probability", shape=(classes,), dtype=torch.float64)
        self.add_sums("entropy", dtype=torch.float64)

    def update(self, probabilities: Tensor, wanted: Tensor) -> None:
        """Args: probabilities (b, classes), rows sum to 1; wanted (b,) int64, -1 where unknown."""
        self.count(right=(probabilities.argmax(dim=1) == wanted).sum(), known=(wanted >= 0).sum(), seen=len(wanted))
        probabilities = probabilities.double()
        self.count(probability=probabilities.sum(dim=0), entropy=torch.special.entr(probabilities).sum())

    def compute(self) -> dict[str, Tensor]:
        h_y = torch.special.entr(self.probability / self.seen).sum()
        h_y_given_x = self.entropy / self.seen
        return {
            "acc": self.right.double() / self.known,
            "is": torch.exp(h_y - h_y_given_x),
            "h_y": h_y,
            "h_y_given_x": h_y_given_x,
        }


@dataclass(frozen=True)
class Choice:
    """Which of N test clips are judged.

    Args: dataset, of N clips; wanted (N,) by head, the right outputs of the judge, -1 unknown; subsets, by head, the
        clips that count, balanced over its labels; shown (n,), the clips of all subsets, ascending; partner (n,), the
        place in `shown` of the clip that each swaps with.
    """

    dataset: ClipDataset
    wanted: Mapping[str, np.ndarray]
    subsets: Mapping[str, np.ndarray]
    shown: np.ndarray
    partner: np.ndarray

    @classmethod
    def of(cls, judge: Judge, data: VideoDataModule, *, clips: int, seed: int) -> Choice:
        """At most `clips` for each head.  Raises: UserError, the judge was trained on other clips."""
        judge.check(data)
        dataset = data.evaluation_dataset("test")
        wanted = judge.targets(split_labels(data, dataset))
        subsets = {head: balanced(labels, most=clips, seed=seed) for head, labels in wanted.items()}
        shown = np.unique(np.concatenate(list(subsets.values())))
        return cls(dataset, wanted, subsets, shown, partners(len(shown), seed=seed))


def results_of(judged: Mapping[str, Judged], choice: Choice, judge: Judge) -> dict[str, float]:
    """All scores, by name.  Args: judged, p(y | x) of the n clips that are shown, by protocol."""
    device = next(iter(judged[REAL].values())).device
    partner = torch.from_numpy(choice.partner).to(device)
    results: dict[str, float] = {}
    for head, positions in choice.subsets.items():
        rows = torch.from_numpy(np.searchsorted(choice.shown, positions)).to(device)
        labels = torch.from_numpy(choice.wanted[head][choice.shown]).to(device)
        if len(rows):
            found = _scores({name: part[head] for name, part in judged.items()}, rows, labels, partner, head)
            chance = 1 / len(labels[rows].unique())
            found |= {"judge_acc": judge.accuracy[head], "clips": len(rows), "chance": chance}
            results |= {f"judge/{head}/{name}": value for name, value in found.items()}
    return results | _all_at_once(judged, choice, partner)


def _all_at_once(judged: Mapping[str, Judged], choice: Choice, partner: Tensor) -> dict[str, float]:
    """The share of clips in which the judge sees every label that it should see, the action and all static factors.

    In a copy the identity alone is right, or the action alone. Empty if one of both is not judged.
    """
    if len(choice.wanted) < 2 or ACTION not in choice.wanted:
        return {}
    labels = {head: torch.from_numpy(each[choice.shown]).to(partner.device) for head, each in choice.wanted.items()}
    results = {}
    for name in (REAL, RECONSTRUCTION, SWAP):
        if name in judged:
            right = {head: each if name != SWAP or head == ACTION else each[partner] for head, each in labels.items()}
            known = torch.stack([each >= 0 for each in right.values()]).all(dim=0)
            hit = torch.stack([judged[name][head].argmax(dim=1) == each for head, each in right.items()]).all(dim=0)
            if known.any():
                results[f"judge/{ALL}/{name}/acc"] = float(hit[known].double().mean())
    return results


def _scores(judged: dict[str, Tensor], rows: Tensor, labels: Tensor, partner: Tensor, head: str) -> dict[str, float]:
    """The scores of one head.  Args: judged (n, classes) by protocol; rows, the m of n that count; labels (n,)."""
    motion, who = rows, partner[rows]
    drawn, right, wrong = (FROZEN_IDENTITY, motion, who) if head == ACTION else (FROZEN_DYNAMICS, who, motion)
    results = {}
    for name, probabilities in judged.items():
        targets = labels[right] if name == SWAP else labels[rows]
        scores = JudgeScores(classes=probabilities.shape[1]).to(rows.device)
        scores.update(probabilities[rows], targets)
        results |= {f"{name}/{measure}": float(value) for measure, value in scores.compute().items()}
        if name.startswith(drawn):
            del results[f"{name}/acc"]  # it should not have the clip's label
    said = {name: part.argmax(dim=1) for name, part in judged.items()}
    real = said[REAL]
    if RECONSTRUCTION in said:
        results["reconstruction/consistency"] = _agreement(said[RECONSTRUCTION][rows], real[rows])
    if SWAP not in said:
        return results
    swapped = said[SWAP][rows]
    results["swap/consistency"] = _agreement(swapped, real[right])
    differ = real[right] != real[wrong]
    if differ.any():
        results["swap/right_clip"] = _agreement(swapped[differ], real[right][differ])
        results["swap/wrong_clip"] = _agreement(swapped[differ], real[wrong][differ])
    return results


def _agreement(a: Tensor, b: Tensor) -> float:
    return float((a == b).double().mean())

"""Scores of generated clips by a judge of real ones, and what it finds in the clips that VDSM draws."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from data_modules.base import VideoDataModule
from data_modules.loading.clips import ClipDataset
from vdsm_glass.judge.judge import Judge
from vdsm_glass.judge.labels import ACTION, split_labels
from vdsm_glass.metrics.clip_choice import balanced, partners
from vdsm_glass.vdsm.fitted import FittedPrior
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM

Judged = dict[str, Tensor]
"""p(y | x) of n clips, (n, classes) by head."""

REAL, RECONSTRUCTION, SWAP = "real", "reconstruction", "swap"
FROZEN_DYNAMICS, FROZEN_IDENTITY = "frozen_dynamics", "frozen_identity"
FITTED = "_fitted"


class JudgeScores(Metric):
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


@torch.no_grad()
def judge_results(
    net: FrameVDSM | SequenceVDSM,
    judge: Judge,
    data: VideoDataModule,
    *,
    clips: int = 500,
    batch_size: int = 32,
    seed: int = 0,
    fitted_to: int = 0,
) -> dict[str, float]:
    """A judge's scores of the clips that VDSM draws, on test clips that are balanced over each label.

    For each head y, a static factor or the action, named `judge/y/...`:
    `frozen_dynamics/` (the action): clips with z, and thereby d, of a test clip and s ~ p(s) should show its action;
    `frozen_identity/` (static factors): clips with s of a test clip and motion from the prior should show its factor;
    `reconstruction/`, `swap/`: clips with z and s of test clips, of one or of two. No side is from the prior, so what
    they miss is missed by encoder and decoder, and frozen sides can hardly do better;
    `real/`: the test clips themselves, which give the best that can be reached.
    Each of these has `acc`, `is`, `h_y` and `h_y_given_x`, see `JudgeScores`. All but `acc` are also there for what the
    prior draws: static factors in `frozen_dynamics/`, where `h_y` tells how varied the drawn identities are, and the
    action in `frozen_identity/`.
    `frozen_dynamics_fitted/`, `frozen_identity_fitted/`: the same with a density in the prior's place that is fitted to
    the guide's latents of training clips (`FittedPrior`), the one that `net` carries or with `fitted_to` another; left
    out where there is neither.
    `reconstruction/consistency`: the share of clips whose label does not change by reconstruction;
    `swap/consistency`: the share of clips drawn with z of one clip and s of another in which the judge finds the same
    action as in the first, or the same static factor as in the other. By chance these two may share their label:
    `swap/right_clip` is the same, of swaps between clips in which the judge finds different labels; `swap/wrong_clip`
    is the share of those that show the label of the clip which should not give it. Both are left out if there are none.
    `judge_acc`, the judge's accuracy on all test clips when it was trained; `clips`, how many were scored; `chance`,
    1 / the number of labels among them.

    Results depend on `batch_size` only by rounding.

    Args:
        net: in evaluation mode.
        clips: the most that are scored for each head.
        seed: of the choice of clips, of the partners in swaps, and of all samples.
        fitted_to: the most training clips that a density is fitted to for these scores, evenly spread; 0 fits none.
    Raises: UserError, the judge was trained on other clips.
    """
    judge.check(data)
    dataset = data.evaluation_dataset("test")
    wanted = judge.targets(split_labels(data, dataset))
    subsets = {head: balanced(labels, most=clips, seed=seed) for head, labels in wanted.items()}
    shown = np.unique(np.concatenate(list(subsets.values())))
    device = next(net.parameters()).device
    judge.network.to(device)

    seen: list[Judged] = []
    parts: list[Latents] = []
    for video in _videos(dataset, shown, batch_size, device):
        seen.append(judge.probabilities(video))
        parts.append(net.encode(video))
    latents = Latents.concatenate(parts)
    partner = torch.from_numpy(partners(len(shown), seed=seed)).to(device)

    generator = torch.Generator(device=device).manual_seed(seed)
    count, steps = latents.z.shape[:2]
    anyone = net.sample_identity(count, generator)
    anything = net.sample_poses(count, steps, generator)
    drawn = {
        RECONSTRUCTION: (latents.z, latents.s),
        SWAP: (latents.z, latents.s[partner]),
        FROZEN_DYNAMICS: (latents.z, anyone),
        FROZEN_IDENTITY: (anything, latents.s),
    }
    fitted = net.fitted
    if fitted_to:
        fitted = FittedPrior.of_training_clips(net, data, most=fitted_to, batch_size=batch_size)
    if fitted is not None:
        drawn[FROZEN_DYNAMICS + FITTED] = latents.z, fitted.sample_identity(count, generator)
        drawn[FROZEN_IDENTITY + FITTED] = fitted.sample_poses(net, count, steps, generator), latents.s
    judged = {REAL: _joined(seen)}
    for name, (z, s) in drawn.items():
        pairs = zip(z.split(batch_size), s.split(batch_size), strict=True)
        judged[name] = _joined([judge.probabilities(net.decode(*pair)) for pair in pairs])

    results: dict[str, float] = {}
    for head, positions in subsets.items():
        rows = torch.from_numpy(np.searchsorted(shown, positions)).to(device)
        labels = torch.from_numpy(wanted[head][shown]).to(device)
        if len(rows):
            found = _scores({name: part[head] for name, part in judged.items()}, rows, labels, partner, head)
            chance = 1 / len(labels[rows].unique())
            found |= {"judge_acc": judge.accuracy[head], "clips": len(rows), "chance": chance}
            results |= {f"judge/{head}/{name}": value for name, value in found.items()}
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
    real, swapped = said[REAL], said[SWAP][rows]
    results["reconstruction/consistency"] = _agreement(said[RECONSTRUCTION][rows], real[rows])
    results["swap/consistency"] = _agreement(swapped, real[right])
    differ = real[right] != real[wrong]
    if differ.any():
        results["swap/right_clip"] = _agreement(swapped[differ], real[right][differ])
        results["swap/wrong_clip"] = _agreement(swapped[differ], real[wrong][differ])
    return results


def _videos(dataset: ClipDataset, chosen: np.ndarray, size: int, device: torch.device) -> Iterator[Tensor]:
    """The chosen clips' videos, `size` at a time, (b, t, 3, h, w) in [0, 1]."""
    for first in range(0, len(chosen), size):
        yield dataset[chosen[first : first + size].tolist()].to(device).decoded().video


def _agreement(a: Tensor, b: Tensor) -> float:
    return float((a == b).double().mean())


def _joined(parts: list[Judged]) -> Judged:
    return {head: torch.cat([part[head] for part in parts]) for head in parts[0]}

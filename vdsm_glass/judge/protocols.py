"""What a judge finds in what VDSM draws when one side is kept and the other one drawn anew."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_modules.base import VideoDataModule
from vdsm_glass.judge.file import Judge
from vdsm_glass.judge.labels import ACTION, split_labels
from vdsm_glass.metrics.generation import JudgeScores, balanced
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.latents import Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM

Judged = dict[str, Tensor]  # p(y | x) of n clips, (n, classes) by head

REAL, RECONSTRUCTION, SWAP = "real", "reconstruction", "swap"
FROZEN_DYNAMICS, FROZEN_IDENTITY = "frozen_dynamics", "frozen_identity"


@torch.no_grad()
def judge_results(
    net: FrameVDSM | SequenceVDSM,
    judge: Judge,
    data: VideoDataModule,
    *,
    clips: int = 500,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, float]:
    """How generated clips look to a judge of real ones, on test clips that are balanced over each label.

    For each head y, a static factor or the action, named `judge/y/...`:
    `frozen_dynamics/` (the action): z, and with it d, of a test clip, s ~ p(s): is it still the clip's action?
    `frozen_identity/` (static factors): s of a test clip, its motion from the prior: is it still the clip's factor?
    `real/`: the test clips themselves: what can be reached at best.
    Each of these has `acc`, `is`, `h_y` and `h_y_given_x`, see `JudgeScores`.
    `reconstruction/consistency`: the share of clips of which the judge says the same before and after;
    `swap/consistency`: with z of a clip and s of another, the share of which it says of the action what it says of the
    first, and of a static factor what it says of the other.
    `judge_acc`, the judge's own accuracy on all test clips, when it was trained; `clips`, how many were scored;
    `chance`, 1 / the labels that occur in them.

    Results do not depend on `batch_size` but for rounding.

    Args:
        net: in evaluation mode.
        clips: at most so many for each head; heads share those they can.
        seed: of the choice of clips, who swaps with whom, and all that is drawn.
    Raises: UserError, the judge has learned from other clips.
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
    for first in range(0, len(shown), batch_size):
        video = dataset[shown[first : first + batch_size].tolist()].to(device).decoded().video
        seen.append(judge.probabilities(video))
        parts.append(net.encode(video))
    latents = Latents.concatenate(parts)
    partner = _partners(len(shown), seed=seed).to(device)

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
    judged = {REAL: _joined(seen)}
    for name, (z, s) in drawn.items():
        pairs = zip(z.split(batch_size), s.split(batch_size), strict=True)
        judged[name] = _joined([judge.probabilities(net.decode(*pair)) for pair in pairs])

    results: dict[str, float] = {}
    for head, positions in subsets.items():
        rows = torch.from_numpy(np.searchsorted(shown, positions)).to(device)
        labels = torch.from_numpy(wanted[head][positions]).to(device)
        if len(rows):
            found = _scores({name: part[head] for name, part in judged.items()}, rows, labels, partner, head)
            found |= {"judge_acc": judge.accuracy[head], "clips": len(rows), "chance": 1 / len(labels.unique())}
            results |= {f"judge/{head}/{name}": value for name, value in found.items()}
    return results


def _scores(judged: dict[str, Tensor], rows: Tensor, labels: Tensor, partner: Tensor, head: str) -> dict[str, float]:
    """Of one head.  Args: judged, (n, classes) by protocol; rows, the m of n that are balanced; labels (m,)."""
    results = {}
    for name in (REAL, FROZEN_DYNAMICS if head == ACTION else FROZEN_IDENTITY):
        scores = JudgeScores(classes=judged[name].shape[1]).to(rows.device)
        scores.update(judged[name][rows], labels)
        results |= {f"{name}/{measure}": float(value) for measure, value in scores.compute().items()}
    said = {name: part.argmax(dim=1) for name, part in judged.items()}
    source = rows if head == ACTION else partner[rows]
    results["reconstruction/consistency"] = _agreement(said[RECONSTRUCTION][rows], said[REAL][rows])
    results["swap/consistency"] = _agreement(said[SWAP][rows], said[REAL][source])
    return results


def _agreement(a: Tensor, b: Tensor) -> float:
    return float((a == b).double().mean())


def _joined(parts: list[Judged]) -> Judged:
    return {head: torch.cat([part[head] for part in parts]) for head in parts[0]}


def _partners(n: int, *, seed: int) -> Tensor:
    """(n,) whose identity each clip is given: a rotation of a random order, so that nobody is their own partner."""
    order = np.random.default_rng(seed).permutation(n)
    partner = np.empty(n, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return torch.from_numpy(partner)

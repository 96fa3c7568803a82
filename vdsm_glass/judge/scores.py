"""Scores of generated clips by a judge of real ones, and what it finds in the clips that models draw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.judge.judge import Judge
from vdsm_glass.judge.results import (
    FITTED,
    FROZEN_DYNAMICS,
    FROZEN_IDENTITY,
    REAL,
    RECONSTRUCTION,
    SWAP,
    Choice,
    Judged,
    results_of,
)
from vdsm_glass.vdsm.fitted import FittedPrior
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM

VERBS = {RECONSTRUCTION: ("reconstruction",), SWAP: ("swap", "transfer")}
"""Protocols of models without latents that a judge knows of; of several, the first that a model has."""


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
    `judge/all/real/acc`, and so on of `reconstruction` and `swap`: the share of clips of any head in which the judge
    finds the action and every static factor that should be there. A model that copies one of two clips has one of both.

    Results depend on `batch_size` only by rounding.

    Args:
        net: in evaluation mode.
        clips: the most that are scored for each head.
        seed: of the choice of clips, of the partners in swaps, and of all samples.
        fitted_to: the most training clips that a density is fitted to for these scores, evenly spread; 0 fits none.
    Raises: UserError, the judge was trained on other clips.
    """
    choice = Choice.of(judge, data, clips=clips, seed=seed)
    device = next(net.parameters()).device
    judge.network.to(device)

    seen: list[Judged] = []
    parts: list[Latents] = []
    for batch in _batches(choice.dataset, choice.shown, batch_size, device):
        seen.append(judge.probabilities(batch.video))
        parts.append(net.encode(batch.video))
    latents = Latents.concatenate(parts)
    partner = torch.from_numpy(choice.partner).to(device)

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

    return results_of(judged, choice, judge)


@torch.no_grad()
def judge_verbs(
    model: Model, judge: Judge, data: VideoDataModule, *, clips: int = 500, batch_size: int = 32, seed: int = 0
) -> dict[str, float]:
    """As `judge_results`, of a model that has protocols and no latents to freeze: `reconstruction/` and `swap/` alone.

    What a swap draws has what happens in one clip and the identity of another; the protocol is "swap", or "transfer" of
    a model without it. Where a model draws at random, results depend on `batch_size`.

    Raises: UserError, as `judge_results`; or the model has no such protocol.
    """
    choice = Choice.of(judge, data, clips=clips, seed=seed)
    ways = {name: next((way for way in known if way in model.protocols), None) for name, known in VERBS.items()}
    chosen = {name: model.protocol(way) for name, way in ways.items() if way}
    if not chosen:
        raise UserError(f"{model.title} draws neither reconstructions nor transfers: a judge has nothing to look at")
    judge.network.to(model.device)
    generator = torch.Generator(model.device).manual_seed(seed)
    parts: dict[str, list[Judged]] = {name: [] for name in (REAL, *chosen)}
    sides = (choice.shown, choice.shown[choice.partner])
    pairs = zip(*(_batches(choice.dataset, side, batch_size, model.device) for side in sides), strict=True)
    for batch, other in pairs:
        parts[REAL].append(judge.probabilities(batch.video))
        for name, way in chosen.items():
            given = (batch, other) if way.needs_labels else (batch.video, other.video)
            parts[name].append(judge.probabilities(way.make(model, *given, generator).clamp(0, 1)))
    return results_of({name: _joined(part) for name, part in parts.items()}, choice, judge)


def _batches(dataset: ClipDataset, chosen: np.ndarray, size: int, device: torch.device) -> Iterator[VideoBatch]:
    """The chosen clips with their labels, `size` at a time, decoded."""
    for first in range(0, len(chosen), size):
        yield dataset[chosen[first : first + size].tolist()].to(device).decoded()


def _joined(parts: list[Judged]) -> Judged:
    return {head: torch.cat([part[head] for part in parts]) for head in parts[0]}

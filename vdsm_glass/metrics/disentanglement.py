"""How well s and d separate identity from action: linear probes, their leaks, and what a swapped clip shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vdsm_glass.metrics.clip_choice import partners
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

ACTION = "action"


def linear_probe(features: np.ndarray, labels: np.ndarray) -> Pipeline:
    """scikit-learn's multinomial logistic regression on standardised features; its `score` is the accuracy in [0, 1].

    Args: features (n, f); labels (n,).   Raises: ValueError, all labels are the same.

    >>> x = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    >>> float(linear_probe(x, np.array([3, 3, 5, 5])).score(x, np.array([3, 3, 5, 3])))
    0.75
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(features, labels)


def chance(labels: np.ndarray) -> float:
    """The accuracy of always naming the commonest label.  Args: labels (n,) >= 0."""
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class Labelled:
    """Latents of n clips, and the clips' labels.

    Args: factors, static labels (n,) by name: `identity`, or what identities are made of; action (n,).
    """

    latents: Latents
    factors: dict[str, np.ndarray]
    action: np.ndarray


@dataclass(frozen=True)
class LeakMatrix:
    """The accuracy of linear probes of identity and action in s and in d; a disentangled model's is a diagonal.

    Args:
        accuracy: (2, 2) in [0, 1], rows identity and action, columns s and d; (2, 1) before stage 2.
        chance: (2,), the accuracy of naming the commonest label.
        factors: the static factors; the row of identity is their mean.
    """

    accuracy: np.ndarray
    chance: np.ndarray
    factors: tuple[str, ...]
    columns: tuple[str, ...] = ("s", "d")

    @classmethod
    def of(cls, results: Mapping[str, float]) -> LeakMatrix | None:
        """The matrix of `score`'s results; None if they have no static factor, or no action."""
        asked = [name.removesuffix("_from_s") for name in results if name.endswith("_from_s")]
        factors = tuple(name for name in asked if name != ACTION)
        if not factors or ACTION not in asked:
            return None
        columns = tuple(source for source in ("s", "d") if f"action_from_{source}" in results)
        rows = (factors, (ACTION,))
        accuracy = [[np.mean([results[f"{name}_from_{source}"] for name in row]) for source in columns] for row in rows]
        chance = [np.mean([results[f"chance_{name}"] for name in row]) for row in rows]
        return cls(accuracy=np.array(accuracy), chance=np.array(chance), factors=factors, columns=columns)

    @property
    def above_chance(self) -> np.ndarray:
        """(accuracy - chance) / (1 - chance): 0 for a probe that does no better than chance, 1 for a perfect one."""
        chance = self.chance[:, None]
        return (self.accuracy - chance) / np.maximum(1 - chance, np.finfo(float).eps)


def score(net: FrameVDSM | SequenceVDSM, train: Labelled, test: Labelled, *, seed: int = 0) -> dict[str, float]:
    """Accuracies in [0, 1] on test clips of probes fitted to training clips, by name.

    `F_from_s`, `F_from_d`: the probe of the static factor F in s and in d; `action_from_s`, `action_from_d`: that of
    the action. `F_from_d` and `action_from_s` are leaks.
    `swapped_F`, `swapped_action`: every test clip is drawn with the s of another clip and encoded again. `swapped_F` is
    the share of clips in which the probe of F in s then finds the other clip's F, of those whose F differs from it;
    `swapped_action` is the share in which the probe in d still finds the clip's own action.
    `chance_F`, `chance_action`: the commonest label's share.

    Left out are probes of d before stage 2, and of labels that are all the same in the training split.

    Args: train, test, with latents on the network's device; seed, of the partners.
    """
    results: dict[str, float] = {}
    redrawn, partner = _swapped(net, test.latents, seed=seed)
    fitted, read, drawn = (_columns(latents) for latents in (train.latents, test.latents, redrawn))
    wanted_by_name = test.factors | {ACTION: test.action}
    for name, labels in (train.factors | {ACTION: train.action}).items():
        if len(np.unique(labels)) < 2:
            continue
        wanted = wanted_by_name[name]
        probes = {source: linear_probe(fitted[source], labels) for source in fitted}
        results |= {
            f"{name}_from_{source}": float(probe.score(read[source], wanted)) for source, probe in probes.items()
        }
        changed = wanted[partner] != wanted
        if name == ACTION and "d" in probes:
            results["swapped_action"] = float(probes["d"].score(drawn["d"], wanted))
        elif name != ACTION and changed.any():
            results[f"swapped_{name}"] = float(probes["s"].score(drawn["s"][changed], wanted[partner][changed]))
        results[f"chance_{name}"] = chance(wanted)
    return results


def _columns(latents: Latents) -> dict[str, np.ndarray]:
    """The features of the probes, (n, f) each."""
    columns = {"s": latents.s.numpy(force=True)}
    return columns if latents.d is None else columns | {"d": latents.d.numpy(force=True)}


@torch.no_grad()
def _swapped(
    net: FrameVDSM | SequenceVDSM, latents: Latents, *, seed: int, chunk: int = 64
) -> tuple[Latents, np.ndarray]:
    """The latents of every clip redrawn with another clip's s, and that clip's position, (n,)."""
    partner = partners(len(latents.s), seed=seed)
    parts = []
    for first in range(0, len(partner), chunk):
        rows = slice(first, first + chunk)
        drawn = net.decode(latents.z[rows], latents.s[torch.from_numpy(partner[rows])])
        parts.append(net.encode(drawn))
    return Latents.concatenate(parts), partner

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
ON_VAL = "_on_val"


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


def told_by(known: np.ndarray, labels: np.ndarray, *, of: np.ndarray, wanted: np.ndarray) -> float:
    """The accuracy of naming the label that is commonest among training clips of the same known label.

    Args: known, labels (n,) >= 0, of training clips; of, wanted (m,), the same two of the clips to name.

    >>> told_by(np.array([0, 0, 1]), np.array([4, 4, 2]), of=np.array([0, 1, 1]), wanted=np.array([4, 2, 4]))
    0.6666666666666666
    """
    counts = np.zeros((max(known.max(), of.max()) + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (known, labels), 1)
    return float((counts[of].argmax(axis=1) == wanted).mean())


@dataclass(frozen=True)
class Labelled:
    """Latents of n clips, and the clips' labels.

    Args: factors, static labels (n,) by name: `identity`, or what identities are made of; action (n,).
    """

    latents: Latents
    factors: dict[str, np.ndarray]
    action: np.ndarray

    @property
    def labels(self) -> dict[str, np.ndarray]:
        """All labels (n,) by name, the action last."""
        return self.factors | {ACTION: self.action}


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
    def of(cls, results: Mapping[str, float], suffix: str = "") -> LeakMatrix | None:
        """The matrix of `score`'s or `leaks`' results; None if they have no static factor, or no action.

        Args: suffix, what the names of the results end in.
        """
        found = {name.removesuffix(suffix): value for name, value in results.items() if name.endswith(suffix)}
        asked = [name.removesuffix("_from_s") for name in found if name.endswith("_from_s")]
        factors = tuple(name for name in asked if name != ACTION)
        if not factors or ACTION not in asked:
            return None
        columns = tuple(source for source in ("s", "d") if f"action_from_{source}" in found)
        rows = (factors, (ACTION,))
        accuracy = [[np.mean([found[f"{name}_from_{source}"] for name in row]) for source in columns] for row in rows]
        chance = [np.mean([found[f"chance_{name}"] for name in row]) for row in rows]
        return cls(accuracy=np.array(accuracy), chance=np.array(chance), factors=factors, columns=columns)

    @property
    def above_chance(self) -> np.ndarray:
        """(accuracy - chance) / (1 - chance): 0 for a probe that does no better than chance, 1 for a perfect one."""
        chance = self.chance[:, None]
        return (self.accuracy - chance) / np.maximum(1 - chance, np.finfo(float).eps)


def score(net: FrameVDSM | SequenceVDSM, train: Labelled, test: Labelled, *, seed: int = 0) -> dict[str, float]:
    """Accuracies in [0, 1] on test clips of probes fitted to training clips, by name.

    `F_from_s`, `F_from_d`: the probe of the static factor F in s and in d; `action_from_s`, `action_from_d`: that of
    the action. `F_from_d` and `action_from_s` are leaks, if test clips show pairs of F and action that training clips
    show, too; if not, see `leaks`.
    `swapped_F`, `unswapped_F`, `swapped_action`: every test clip is drawn with the s of another clip and encoded again.
    `swapped_F` is the share of clips in which the probe of F in s then finds the other clip's F, of those whose F
    differs from it, `unswapped_F` the share of these in which it still finds the clip's own;
    `swapped_action` is the share in which the probe in d still finds the clip's own action.
    `chance_F`, `chance_action`: the commonest label's share.

    Left out are probes of d before stage 2, and of labels that are all the same in the training split.

    Args: train, test, with latents on the network's device; seed, of the partners.
    """
    results: dict[str, float] = {}
    redrawn, partner = _swapped(net, test.latents, seed=seed)
    read, drawn = _columns(test.latents), _columns(redrawn)
    for name, probes in _probes(train).items():
        wanted = test.labels[name]
        results |= _read(name, probes, read, wanted)
        changed = wanted[partner] != wanted
        if name == ACTION and "d" in probes:
            results["swapped_action"] = float(probes["d"].score(drawn["d"], wanted))
        elif name != ACTION and changed.any():
            s = drawn["s"][changed]
            results[f"swapped_{name}"] = float(probes["s"].score(s, wanted[partner][changed]))
            results[f"unswapped_{name}"] = float(probes["s"].score(s, wanted[changed]))
        results[f"chance_{name}"] = chance(wanted)
    return results


def leaks(train: Labelled, val: Labelled) -> dict[str, float]:
    """What the same probes read in new clips whose pairs of identity and action were seen in training.

    Pendula's test clips show pairs that no training clip shows. A probe that sees the action in d rules out the right
    identity there: the accuracy falls below chance, however much leaks.

    `F_from_s_on_val`, `F_from_d_on_val`, `action_from_s_on_val`, `action_from_d_on_val`: accuracies in [0, 1];
    `chance_F_on_val`, `chance_action_on_val`: what naming the commonest label reaches with one label of the other side
    known, the one that tells most; a latent that holds its own side alone reaches as much where pairs are held out.
    """
    results: dict[str, float] = {}
    read = _columns(val.latents)
    for name, probes in _probes(train).items():
        results |= _read(name, probes, read, val.labels[name])
        others = train.factors if name == ACTION else {ACTION: train.action}
        told = [
            told_by(known, train.labels[name], of=val.labels[other], wanted=val.labels[name])
            for other, known in others.items()
        ]
        results[f"chance_{name}"] = max(told, default=chance(val.labels[name]))
    return {f"{name}{ON_VAL}": value for name, value in results.items()}


def _probes(train: Labelled) -> dict[str, dict[str, Pipeline]]:
    """The fitted probes by label and latent, of labels that differ among training clips."""
    fitted = _columns(train.latents)
    return {
        name: {source: linear_probe(features, labels) for source, features in fitted.items()}
        for name, labels in train.labels.items()
        if len(np.unique(labels)) > 1
    }


def _read(
    name: str, probes: Mapping[str, Pipeline], features: Mapping[str, np.ndarray], wanted: np.ndarray
) -> dict[str, float]:
    return {f"{name}_from_{source}": float(probe.score(features[source], wanted)) for source, probe in probes.items()}


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

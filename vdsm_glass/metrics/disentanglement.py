"""How well identity and action were told apart: probes, leaks, and what a swap shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vdsm_glass.metrics.probes import LinearProbe, chance
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.latents import Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM


@dataclass(frozen=True)
class Labelled:
    """Latents of n clips and what is known of the clips.

    Args: factors, static labels (n,) by name: `identity`, or what identities are made of; action (n,).
    """

    latents: Latents
    factors: dict[str, np.ndarray]
    action: np.ndarray


@dataclass(frozen=True)
class LeakMatrix:
    """What linear probes read of identity and action in s and in d: all of it on the diagonal is disentangled.

    Args:
        accuracy: (2, 2) in [0, 1], rows identity and action, columns s and d; (2, 1) before stage 2.
        chance: (2,), of naming the commonest label.
        factors: the static factors whose mean the identity's row is.
    """

    accuracy: np.ndarray
    chance: np.ndarray
    factors: tuple[str, ...]
    columns: tuple[str, ...] = ("s", "d")

    @classmethod
    def of(cls, results: Mapping[str, float]) -> LeakMatrix | None:
        """That of `score`'s results; None where they have no static factor, or no action."""
        asked = [name.removesuffix("_from_s") for name in results if name.endswith("_from_s")]
        factors = tuple(name for name in asked if name != "action")
        if not factors or "action" not in asked:
            return None
        columns = tuple(source for source in ("s", "d") if f"action_from_{source}" in results)
        rows = (factors, ("action",))
        accuracy = [[np.mean([results[f"{name}_from_{source}"] for name in row]) for source in columns] for row in rows]
        chance = [np.mean([results[f"chance_{name}"] for name in row]) for row in rows]
        return cls(accuracy=np.array(accuracy), chance=np.array(chance), factors=factors, columns=columns)

    @property
    def above_chance(self) -> np.ndarray:
        """(accuracy - chance) / (1 - chance): 0 for a probe that sees nothing, 1 for one that is always right."""
        chance = self.chance[:, None]
        return (self.accuracy - chance) / np.maximum(1 - chance, np.finfo(float).eps)


def score(net: FrameVDSM | SequenceVDSM, train: Labelled, test: Labelled, *, seed: int = 0) -> dict[str, float]:
    """Probes fitted on the training split's latents and read on the test split's.

    `F_from_s` and `F_from_d`: accuracy of the static factor F; `action_from_s`, `action_from_d`: of the action. What is
    found on the wrong side is a leak. `swapped_F`: after every test clip was given the s of another test clip and
    drawn, the share of those whose F that changed which, encoded again, show the new F to the probe; `swapped_action`:
    the share of all that still perform the old action. `chance_*`: the commonest label's share. What cannot be asked
    is left out: of d before stage 2, of a factor that the training split has one label of.

    Args: latents on the network's device; seed, of who swaps with whom.   Returns: accuracies in [0, 1] by name.
    """
    results: dict[str, float] = {}
    redrawn, partner = _swapped(net, test.latents, seed=seed)
    fitted, read, drawn = (_columns(latents) for latents in (train.latents, test.latents, redrawn))
    for name, labels in train.factors.items():
        if len(np.unique(labels)) < 2:
            continue
        wanted = test.factors[name]
        probes = {source: LinearProbe.fit(fitted[source], labels) for source in fitted}
        results |= {f"{name}_from_{source}": probe.accuracy(read[source], wanted) for source, probe in probes.items()}
        changed = wanted[partner] != wanted
        if changed.any():
            results[f"swapped_{name}"] = probes["s"].accuracy(drawn["s"][changed], wanted[partner][changed])
        results[f"chance_{name}"] = chance(wanted)
    if len(np.unique(train.action)) < 2:
        return results
    probes = {source: LinearProbe.fit(fitted[source], train.action) for source in fitted}
    results |= {f"action_from_{source}": probe.accuracy(read[source], test.action) for source, probe in probes.items()}
    if "d" in probes:
        results["swapped_action"] = probes["d"].accuracy(drawn["d"], test.action)
    results["chance_action"] = chance(test.action)
    return results


def _columns(latents: Latents) -> dict[str, np.ndarray]:
    """The features that probes read, (n, f) each."""
    columns = {"s": latents.s.numpy(force=True)}
    return columns if latents.d is None else columns | {"d": latents.d.numpy(force=True)}


@torch.no_grad()
def _swapped(
    net: FrameVDSM | SequenceVDSM, latents: Latents, *, seed: int, chunk: int = 64
) -> tuple[Latents, np.ndarray]:
    """Latents of every clip redrawn with another clip's identity, and whose: (n,) positions."""
    n = len(latents.s)
    # A rotation of a random order: nobody is their own partner.
    order = np.random.default_rng(seed).permutation(n)
    partner = np.empty(n, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    parts = []
    for first in range(0, n, chunk):
        rows = slice(first, first + chunk)
        drawn = net.decode(latents.z[rows], latents.s[torch.from_numpy(partner[rows])])
        parts.append(net.encode(drawn))
    return Latents.concatenate(parts), partner

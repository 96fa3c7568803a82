"""Inferred actions against true actions, whose names and numbers may differ."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from vdsm_glass.metrics.states import StatefulMetric

PERMUTATIONS = 200
"""Of inferred actions, for what chance gives."""
WITHIN = 50
"""Of inferred actions among pairs of the same true label."""


def nmi(true: np.ndarray, predicted: np.ndarray) -> float:
    """NMI(X, Y) = 2 I(X, Y) / (H(X) + H(Y)), scikit-learn's.  [GLASS Eq. (12)]

    Args: (n,) labels each.   Returns: in [0, 1]; 1 if each side has only one label.

    >>> round(nmi(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2, 2])), 6)
    0.515804
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(true, predicted, average_method="arithmetic"))


def identity_nmi(identity: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> float:
    """NMI_S, the mean of the NMI of each identity's pairs.  [GLASS section 6]   Args: (n,) each."""
    scores = [nmi(true[identity == one], predicted[identity == one]) for one in np.unique(identity)]
    return float(np.mean(scores))


def random_nmi(true: np.ndarray, *, actions: int, seed: int) -> float:
    """NMI_RAND, the NMI of labels drawn uniformly from `actions`, K.  [GLASS section 6]

    The true labels, (n,), are sorted first, so that the score does not depend on their order, which would depend on the
    number of processes.
    """
    return nmi(np.sort(true), np.random.default_rng(seed).integers(actions, size=len(true)))


def permuted_nmi(true: np.ndarray, predicted: np.ndarray, *, seed: int, times: int = PERMUTATIONS) -> np.ndarray:
    """(times,): the NMI of `true` and random permutations of `predicted`, the level of chance.

    Both are sorted first: what is drawn depends on how often labels occur and not on their order.
    """
    generator = np.random.default_rng(seed)
    true, predicted = np.sort(true), np.sort(predicted)
    return np.array([nmi(true, generator.permutation(predicted)) for _ in range(times)])


def permuted_within(
    identity: np.ndarray, true: np.ndarray, predicted: np.ndarray, *, seed: int, times: int = WITHIN
) -> tuple[float, float]:
    """What NMI with identity and NMI_S are on average where `predicted` is permuted among pairs of the same true label.

    A permutation keeps NMI_G, and takes away all that actions tell of identities and true labels do not. All are sorted
    first, as in `permuted_nmi`.

    Args: (n,) each.   Returns: the mean NMI with identity, and the mean NMI_S.
    """
    order = np.lexsort([predicted, identity, true])
    identity, true, predicted = identity[order], true[order], predicted[order]
    generator = np.random.default_rng(seed)
    alike = [np.flatnonzero(true == label) for label in np.unique(true)]
    found = []
    for _ in range(times):
        for pairs in alike:
            predicted[pairs] = generator.permutation(predicted[pairs])
        found.append((nmi(identity, predicted), identity_nmi(identity, true, predicted)))
    with_identity, of_identities = np.mean(found, axis=0)
    return float(with_identity), float(of_identities)


class ActionNMI(StatefulMetric):
    """NMI of inferred and true local actions over all pairs of frames.  [GLASS section 6, Table 3]

    `compute` gives scalars: `nmi_g`, NMI_G over all pairs; `nmi_rand`, see `random_nmi`; and if identities are known
    `nmi_s`, NMI_S, and `con`, CON = NMI_S - NMI_G. NMI grows as pairs get fewer, even for random labels: NMI_S and CON
    are comparable only between data with the same number of pairs for each identity.

    `nmi_g_chance` is the largest NMI of 200 permutations of the inferred actions. If shifts are known, `nmi_rest` is
    that of the pairs of frames between which the agent does not move, and `nmi_rest_chance` the largest of its
    permutations: NMI_G is high for actions that follow the shift alone, `nmi_rest` is not. If identities are known,
    `nmi_identity` is that of inferred actions and identities, `nmi_identity_chance` the mean of its permutations, and
    `nmi_identity_true` that of the true actions: a clip shows few of them, so they tell clips apart, too.
    `nmi_identity_given_true` and `con_given_true` are what `nmi_identity` and `con` would be for actions that tell of
    the identity no more than the true ones do, see `permuted_within`: the levels to compare with where clips are few.

    The state is all labels, 32 bytes for each pair of frames, because entropies cannot be summed over batches.

    Args:
        actions: K, for NMI_RAND.
        seed: of NMI_RAND's labels.

    >>> metric = ActionNMI(actions=3)
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> metric.update(predicted=2 - labels, true=labels, identity=torch.zeros(4, dtype=torch.int64))
    >>> metric.compute()["nmi_g"].item()
    1.0
    """

    higher_is_better = True

    def __init__(self, *, actions: int, seed: int = 0) -> None:
        super().__init__()
        self.actions, self.seed = actions, seed
        self.add_lists("labels")

    def update(self, *, predicted: Tensor, true: Tensor, identity: Tensor, rest: Tensor | None = None) -> None:
        """Args: all int64 and of one shape, one entry for each pair of frames; identity -1 where unknown; rest bool,

        whether the agent does not move, None where that is unknown.
        """
        known = torch.full_like(true, -1) if rest is None else rest.to(true)
        columns = [identity.flatten(), true.flatten(), predicted.flatten(), known.flatten()]
        self.labels.append(torch.stack(columns, dim=1))

    def compute(self) -> dict[str, Tensor]:
        rows = dim_zero_cat(self.labels)
        identity, true, predicted, rest = rows.T.numpy(force=True)
        results = {
            "nmi_g": nmi(true, predicted),
            "nmi_rand": random_nmi(true, actions=self.actions, seed=self.seed),
            "nmi_g_chance": permuted_nmi(true, predicted, seed=self.seed).max(),
        }
        if rest.min() >= 0 and rest.any():
            still = rest > 0
            results["nmi_rest"] = nmi(true[still], predicted[still])
            results["nmi_rest_chance"] = permuted_nmi(true[still], predicted[still], seed=self.seed).max()
        if identity.min() >= 0:
            results["nmi_s"] = identity_nmi(identity, true, predicted)
            results["con"] = results["nmi_s"] - results["nmi_g"]
            results["nmi_identity"] = nmi(identity, predicted)
            results["nmi_identity_chance"] = permuted_nmi(identity, predicted, seed=self.seed).mean()
            results["nmi_identity_true"] = nmi(identity, true)
            given_true, of_identities = permuted_within(identity, true, predicted, seed=self.seed)
            results["nmi_identity_given_true"] = given_true
            results["con_given_true"] = of_identities - results["nmi_g"]
        return {name: torch.tensor(value, device=rows.device) for name, value in results.items()}

"""Which clips are scored, and which of them swap with each other."""

from __future__ import annotations

import numpy as np


def balanced(labels: np.ndarray, *, most: int | None = None, seed: int) -> np.ndarray:
    """Positions of as many clips of every label, drawn without replacement; label -1, unknown, is left out.

    Args: labels (n,); most, clips in all, but at least one of each label; by default all that the rarest label allows.
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


def partners(n: int, *, seed: int | None = None) -> np.ndarray:
    """The position of each clip's partner, (n,): the clip before it in a random order, or in theirs without a seed.

    Every clip is the partner of one, and with n > 1 none is its own.

    >>> partners(3).tolist()
    [2, 0, 1]
    """
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    partner = np.empty(n, dtype=np.int64)
    partner[order] = np.roll(order, 1)
    return partner

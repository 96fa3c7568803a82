"""Random walks: Eqs. (13)-(19) of GLASS's appendix C, within a box.

Statistical tests draw from a fixed seed; with another one each would raise a false alarm once in a million.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, chisquare

from data_modules.common.errors import UserError
from data_modules.shared.walks import MOVES, random_walk

FALSE_ALARMS = 1e-6
NAMES = list(MOVES)


def walk(seed: int = 0, **options: Any):
    defaults = {"frames": 50, "low": (0, 0), "high": (64, 32), "step": 7, "p_inertia": 0.9}
    return random_walk(np.random.default_rng(seed), **(defaults | options))


@pytest.mark.parametrize(
    ("low", "high", "step"), [((0, 0), (64, 32), 7), ((-25, -25), (25, 25), 2), ((3, 4), (3, 4), 1)]
)
def test_a_walk_takes_the_steps_it_names_and_stays_in_its_box(low: tuple, high: tuple, step: int) -> None:
    """Eqs. (15)-(19), with y pointing down."""
    expected = {"right": (step, 0), "left": (-step, 0), "down": (0, step), "up": (0, -step), "stay": (0, 0)}
    for seed in range(30):
        result = walk(seed, low=low, high=high, step=step)
        assert (result.positions >= low).all()
        assert (result.positions <= high).all()
        ways = np.array([expected[NAMES[move]] for move in result.moves[1:]])
        np.testing.assert_array_equal(np.diff(result.positions, axis=0), ways)
        np.testing.assert_array_equal(result.shifts, ways)


def test_the_start_and_the_first_move_are_uniform() -> None:
    starts = [walk(seed, frames=1, low=(-1, 0), high=(2, 2), step=1) for seed in range(6000)]
    counts = np.zeros((4, 3))
    for start in starts:
        counts[tuple(start.positions[0] - (-1, 0))] += 1
    assert chisquare(counts.ravel()).pvalue > FALSE_ALARMS
    inside = [start.moves[0] for start in starts if tuple(start.positions[0]) in {(0, 1), (1, 1)}]
    assert chisquare(np.bincount(inside, minlength=5)).pvalue > FALSE_ALARMS
    corner = [NAMES[start.moves[0]] for start in starts if tuple(start.positions[0]) == (-1, 0)]
    assert set(corner) == {"right", "down", "stay"}


@pytest.mark.parametrize("p_inertia", [0.9, 0.3])
def test_moves_follow_the_equations_everywhere_in_the_box(p_inertia: float) -> None:
    """Eqs. (13) and (14): the chances of the next move, for every position and last move, against their counts."""
    high, step, frames = (2, 2), 1, 40_000
    result = walk(low=(0, 0), high=high, step=step, frames=frames, p_inertia=p_inertia)
    counts: dict[tuple[int, int, int], np.ndarray] = {
        state: np.zeros(5) for state in product(range(high[0] + 1), range(high[1] + 1), range(5))
    }
    for (x, y), last, move in zip(result.positions[:-1], result.moves[:-1], result.moves[1:], strict=True):
        counts[x, y, last][move] += 1
    statistic, freedom = 0.0, 0
    for (x, y, last), seen in counts.items():
        expected = seen.sum() * chances(x, y, NAMES[last], high, step, p_inertia)
        assert not seen[expected == 0].any()
        possible = expected > 0
        if possible.any() and expected[possible].min() > 5:
            statistic += ((seen - expected)[possible] ** 2 / expected[possible]).sum()
            freedom += possible.sum() - 1
    assert freedom > 60
    assert chi2.sf(statistic, freedom) > FALSE_ALARMS


def chances(x: int, y: int, last: str, high: tuple[int, int], step: int, p_inertia: float) -> np.ndarray:
    """p(g_i | g_{i-1}, x, y), case by case."""
    leaves = {
        "left": x - step < 0,
        "right": x + step > high[0],
        "up": y - step < 0,
        "down": y + step > high[1],
        "stay": False,
    }
    available = [name for name in NAMES if not leaves[name]]
    fresh = np.array([1 / len(available) if name in available else 0 for name in NAMES])
    if leaves[last]:
        return fresh
    same = np.array([name == last for name in NAMES])
    return p_inertia * same + (1 - p_inertia) * fresh


def test_full_inertia_ends_at_edges_alone() -> None:
    always = walk(p_inertia=1.0, frames=400)
    for i in range(1, 400):
        if always.moves[i] != always.moves[i - 1]:
            x, y = always.positions[i - 1] + 7 * np.array(list(MOVES.values()))[always.moves[i - 1]]
            assert not (0 <= x <= 64 and 0 <= y <= 32)


def test_the_same_generator_gives_the_same_walk() -> None:
    np.testing.assert_array_equal(walk(3).positions, walk(3).positions)
    assert (walk(3).positions != walk(4).positions).any()


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"step": 0}, {"p_inertia": 1.1}, {"p_inertia": float("nan")}, {"high": (64, -1)}]
)
def test_impossible_walks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="A walk of"):
        walk(**wrong)

"""Trials: what a grid holds, what random search draws, and what W&B's agent would have written."""

import math

import numpy as np
import pytest

from vdsm_glass.sweeps.parameters import SweepError, distribution_of, grid, random, value_of

MANY = 4000


def space(parameters: dict) -> dict:
    return {name: distribution_of(name, at) for name, at in parameters.items()}


def drawn(at: dict, count: int = MANY) -> np.ndarray:
    return np.array([value_of(at, trial["x"]) for trial in random(space({"x": at}), count=count, seed=1)])


def test_a_grid_is_every_combination_once():
    parameters = {
        "a": {"values": [1, "b", [[0, 1]]]},
        "b": {"distribution": "q_uniform", "q": 0.1, "min": 0.1, "max": 0.3},
        "c": {"min": 2, "max": 3},
        "d": {"value": 7},
    }
    trials = [{name: value_of(parameters[name], x) for name, x in t.items()} for t in grid(space(parameters))]
    wanted = [{"a": a, "b": b, "c": c, "d": 7} for a in (1, "b", [[0, 1]]) for b in (0.1, 0.2, 0.3) for c in (2, 3)]
    assert trials == wanted


@pytest.mark.parametrize("distribution", ["uniform", "log_uniform_values"])
def test_a_grid_over_what_has_no_end_is_refused(distribution: str):
    with pytest.raises(SweepError, match=r"`x`.*method random"):
        list(grid(space({"x": {"distribution": distribution, "min": 1.0, "max": 2.0}})))


@pytest.mark.parametrize(
    ("at", "to_uniform"),
    [
        ({"min": 2.0, "max": 6.0}, lambda x: (x - 2) / 4),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}, lambda x: np.log(x / 1e-4) / math.log(1e4)),
    ],
)
def test_continuous_draws_are_uniform_on_their_scale(at: dict, to_uniform):
    # Kolmogorov-Smirnov at a false-alarm rate of 1e-6; the seed is fixed, so that it does not alarm.
    u = np.sort(to_uniform(drawn(at)))
    assert 0 <= u[0] <= u[-1] <= 1
    assert np.abs(u - (np.arange(MANY) + 0.5) / MANY).max() < math.sqrt(math.log(2e6) / (2 * MANY))


@pytest.mark.parametrize(
    ("at", "shares"),
    [
        ({"min": 3, "max": 6}, {3: 0.25, 4: 0.25, 5: 0.25, 6: 0.25}),
        ({"distribution": "q_uniform", "q": 8, "min": 5, "max": 26}, {8: 1 / 3, 16: 1 / 3, 24: 1 / 3}),
        ({"values": ["a", "b"]}, {"a": 0.5, "b": 0.5}),
        ({"values": ["a", "b"], "probabilities": [0.9, 0.1]}, {"a": 0.9, "b": 0.1}),
        ({"value": 5}, {5: 1.0}),
    ],
)
def test_other_draws_have_their_values_in_their_shares(at: dict, shares: dict):
    found, counts = np.unique(drawn(at), return_counts=True)
    assert found.tolist() == sorted(shares)
    # Five standard deviations: a false alarm in 2 million.
    for value, count in zip(found.tolist(), counts, strict=True):
        share = shares[value]
        assert abs(count / MANY - share) <= 5 * math.sqrt(share * (1 - share) / MANY)


def test_a_larger_count_keeps_the_trials_of_before_and_another_seed_gives_others():
    parameters = space({"x": {"min": 0.0, "max": 1.0}, "y": {"values": list(range(100))}})
    few, many = (list(random(parameters, count=count, seed=3)) for count in (4, 9))
    assert many[:4] == few
    assert len({trial["x"] for trial in many}) == 9
    assert list(random(parameters, count=4, seed=4)) != few


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"distribution": "log_unifrom_values", "min": 1, "max": 2}, "did you mean 'log_uniform_values'"),
        ({"mean": 1}, "neither value, values nor min and max"),
        ({"distribution": "uniform", "min": 1.0}, "lacks max"),
        ({"values": [1], "q": 2}, "has the key 'q'"),
        ({"values": []}, "at least one"),
        ({"values": 3}, "at least one"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "1 together"),
        ({"distribution": "uniform", "min": "1e-4", "max": 1.0}, "write 1.0e-4"),
        ({"distribution": "int_uniform", "min": 1.5, "max": 3}, "min is 1.5"),
        ({"min": 3, "max": 2}, "`low <= high`"),
        ({"distribution": "q_uniform", "min": 1.1, "max": 1.9}, "`low <= high`"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "`low > 0`"),
        ({"distribution": "q_uniform", "q": 0, "min": 1, "max": 2}, "q is 0"),
    ],
)
def test_a_parameter_that_cannot_be_drawn_is_named(at: dict, said: str):
    with pytest.raises(SweepError, match=r"parameter `x`") as error:
        distribution_of("x", at)
    assert said in str(error.value)

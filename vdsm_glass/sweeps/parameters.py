"""A sweep's parameters, with values or distributions as W&B writes them, and the trials drawn from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_modules.common.errors import UserError, did_you_mean

Values = dict[str, Any]
"""The values of one trial, by each option's dotted name."""


class SweepError(UserError):
    """A sweep's file, or one of its trials, cannot be run."""


@dataclass(frozen=True)
class Distribution:
    """How one kind of parameter is drawn.

    Args:
        draw: draws a value, given a generator and the parameter as written.
        needs: the keys that a parameter must have.   may: further keys that it may have.
        every: lists all values, for a grid; None if there are infinitely many.
    """

    draw: Callable[[np.random.Generator, Mapping[str, Any]], Any]
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    every: Callable[[Mapping[str, Any]], Sequence[Any]] | None = None


def _steps(at: Mapping[str, Any]) -> list[Any]:
    """`q_uniform`'s values: the multiples of q from min to max."""
    q = at.get("q", 1)
    # 0.3 / 0.1 is a little less than 3.
    first, last = math.ceil(at["min"] / q - 1e-9), math.floor(at["max"] / q + 1e-9)
    return [_multiple(n, q) for n in range(first, last + 1)]


def _multiple(n: int, q: float) -> float:
    """n q without rounding noise in its last digits; an integer if q is one."""
    return n * q if isinstance(q, int) else float(f"{n * q:.12g}")


def _log_uniform(rng: np.random.Generator, at: Mapping[str, Any]) -> float:
    return float(np.exp(rng.uniform(np.log(at["min"]), np.log(at["max"]))))


def _pick(rng: np.random.Generator, values: Sequence[Any], probabilities: Sequence[float] | None = None) -> Any:
    return values[int(rng.choice(len(values), p=probabilities))]


RANGE = ("min", "max")
DISTRIBUTIONS = {
    "constant": Distribution(lambda _, at: at["value"], needs=("value",), every=lambda at: [at["value"]]),
    "categorical": Distribution(
        lambda rng, at: _pick(rng, at["values"]), needs=("values",), every=lambda at: at["values"]
    ),
    "categorical_w_probabilities": Distribution(
        lambda rng, at: _pick(rng, at["values"], at["probabilities"]), needs=("values", "probabilities")
    ),
    "int_uniform": Distribution(
        lambda rng, at: int(rng.integers(at["min"], at["max"], endpoint=True)),
        needs=RANGE,
        every=lambda at: range(at["min"], at["max"] + 1),
    ),
    "uniform": Distribution(lambda rng, at: float(rng.uniform(at["min"], at["max"])), needs=RANGE),
    "q_uniform": Distribution(lambda rng, at: _pick(rng, _steps(at)), needs=RANGE, may=("q",), every=_steps),
    "log_uniform_values": Distribution(_log_uniform, needs=RANGE),
}


def distribution_of(name: str, at: Mapping[str, Any]) -> Distribution:
    """How a parameter is drawn; where it names no distribution, the one that W&B assumes.

    Args: name, the parameter's; at, the parameter as written.
    Raises: SweepError, an unknown distribution, a missing or unknown key, an empty or impossible range.
    """
    said = at.get("distribution") or _implied(at)
    if said not in DISTRIBUTIONS:
        nearest = did_you_mean(str(said), DISTRIBUTIONS) if said else ""
        raise SweepError(
            f"parameter `{name}`: {'distribution ' + repr(said) if said else 'neither value, values nor min and max'}"
            f"{nearest}; the distributions are {', '.join(DISTRIBUTIONS)}"
        )
    kind = DISTRIBUTIONS[said]
    missing = [key for key in kind.needs if key not in at]
    strange = at.keys() - {"distribution", *kind.needs, *kind.may}
    if missing or strange:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has the key {sorted(strange)[0]!r}"
        raise SweepError(f"parameter `{name}`: {said} {wrong}; it takes {', '.join([*kind.needs, *kind.may])}")
    _check_numbers(name, said, at)
    return kind


def _implied(at: Mapping[str, Any]) -> str | None:
    if "value" in at:
        return "constant"
    if "values" in at:
        return "categorical_w_probabilities" if "probabilities" in at else "categorical"
    if "min" in at and "max" in at:
        return "int_uniform" if isinstance(at["min"], int) and isinstance(at["max"], int) else "uniform"
    return None


def _check_numbers(name: str, said: str, at: Mapping[str, Any]) -> None:
    if "values" in at and (not isinstance(at["values"], list) or not at["values"]):
        raise SweepError(f"parameter `{name}`: values is {at['values']!r}, expected a list of at least one value")
    odds = at.get("probabilities")
    if odds is not None and (len(odds) != len(at["values"]) or not math.isclose(sum(odds), 1, abs_tol=1e-6)):
        raise SweepError(f"parameter `{name}`: probabilities are {odds}, expected one for each value, 1 together")
    numbers = {key: at[key] for key in ("min", "max", "q") if key in at}
    kinds = int if said == "int_uniform" else int | float
    for key, value in numbers.items():
        if not isinstance(value, kinds) or isinstance(value, bool):
            # YAML 1.1 reads 1e-4 as a string.
            hint = "; write 1.0e-4, not 1e-4" if isinstance(value, str) and "e" in value.lower() else ""
            raise SweepError(f"parameter `{name}`: {key} is {value!r}, expected a number that {said} can take{hint}")
    if "q" in numbers and numbers["q"] <= 0:
        raise SweepError(f"parameter `{name}`: q is {numbers['q']}, expected more than 0")
    if numbers and (numbers["min"] > numbers["max"] or (said == "q_uniform" and not _steps(at))):
        raise SweepError(f"parameter `{name}`: nothing lies between min {at['min']} and max {at['max']}")
    if said == "log_uniform_values" and numbers["min"] <= 0:
        raise SweepError(f"parameter `{name}`: min is {numbers['min']}, but a logarithm needs more than 0")


def grid(parameters: Mapping[str, Mapping[str, Any]]) -> Iterator[Values]:
    """Every combination, the last parameter changing fastest.  Raises: SweepError, a parameter is continuous."""
    axes = []
    for name, at in parameters.items():
        every = distribution_of(name, at).every
        if every is None:
            raise SweepError(f"parameter `{name}`: a grid needs a finite list of values; use method random")
        axes.append(every(at))
    return (dict(zip(parameters, chosen, strict=True)) for chosen in itertools.product(*axes))


def random(parameters: Mapping[str, Mapping[str, Any]], *, count: int, seed: int) -> Iterator[Values]:
    """`count` trials. The n-th depends on seed and n alone, so a larger count only adds trials."""
    kinds = {name: distribution_of(name, at) for name, at in parameters.items()}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        yield {name: kind.draw(rng, parameters[name]) for name, kind in kinds.items()}

"""A sweep's parameters: values or distributions as W&B writes them, drawn as Optuna's distributions."""

from __future__ import annotations

import itertools
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from data_modules.common.errors import UserError, did_you_mean

optuna.logging.set_verbosity(optuna.logging.WARNING)

Values = dict[str, Any]
"""One trial's values by each option's dotted name."""
Written = Mapping[str, Any]
"""A parameter as the file has it."""


class SweepError(UserError):
    """A sweep's file, or one of its trials, cannot be run."""


def _choice(values: list[Any]) -> CategoricalDistribution:
    """A choice among values as JSON, because Optuna takes no lists."""
    return CategoricalDistribution([json.dumps(value) for value in values])


def _factors(at: Written) -> IntDistribution:
    """The n for which n q lies between min and max; 0.3 / 0.1 is a little less than 3."""
    q = at.get("q", 1)
    return IntDistribution(math.ceil(at["min"] / q - 1e-9), math.floor(at["max"] / q + 1e-9))


RANGE = ("min", "max")
DISTRIBUTIONS: dict[str, tuple[tuple[str, ...], Callable[[Written], BaseDistribution]]] = {
    "constant": (("value",), lambda at: _choice([at["value"]])),
    "categorical": (("values",), lambda at: _choice(at["values"])),
    # Optuna weighs no choices: a number between 0 and 1 says which value it is.
    "categorical_w_probabilities": (("values", "probabilities"), lambda _: FloatDistribution(0, 1)),
    "int_uniform": (RANGE, lambda at: IntDistribution(at["min"], at["max"])),
    "uniform": (RANGE, lambda at: FloatDistribution(at["min"], at["max"])),
    "q_uniform": (RANGE, _factors),
    "log_uniform_values": (RANGE, lambda at: FloatDistribution(at["min"], at["max"], log=True)),
}
"""By W&B's name, the keys that a parameter must have and its distribution."""


def distribution_of(name: str, at: Written) -> BaseDistribution:
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
    needs, make = DISTRIBUTIONS[said]
    takes = [*needs, *(["q"] if said == "q_uniform" else [])]
    missing, strange = [key for key in needs if key not in at], at.keys() - {"distribution", *takes}
    if missing or strange:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has the key {sorted(strange)[0]!r}"
        raise SweepError(f"parameter `{name}`: {said} {wrong}; it takes {', '.join(takes)}")
    _check(name, said, at)
    try:
        return make(at)
    except ValueError as error:
        raise SweepError(f"parameter `{name}`: nothing can be drawn from it: {error}") from error


def _implied(at: Written) -> str | None:
    if "value" in at:
        return "constant"
    if "values" in at:
        return "categorical_w_probabilities" if "probabilities" in at else "categorical"
    if "min" in at and "max" in at:
        return "int_uniform" if isinstance(at["min"], int) and isinstance(at["max"], int) else "uniform"
    return None


def _check(name: str, said: str, at: Written) -> None:
    if "values" in at and (not isinstance(at["values"], list) or not at["values"]):
        raise SweepError(f"parameter `{name}`: values is {at['values']!r}, expected a list of at least one value")
    odds = at.get("probabilities")
    if odds is not None and (len(odds) != len(at["values"]) or not math.isclose(sum(odds), 1, abs_tol=1e-6)):
        raise SweepError(f"parameter `{name}`: probabilities are {odds}, expected one for each value, 1 together")
    for key in at.keys() & {"min", "max", "q"}:
        value = at[key]
        if not isinstance(value, int if said == "int_uniform" else int | float) or isinstance(value, bool):
            # YAML 1.1 reads 1e-4 as a string.
            hint = "; write 1.0e-4, not 1e-4" if isinstance(value, str) and "e" in value.lower() else ""
            raise SweepError(f"parameter `{name}`: {key} is {value!r}, expected a number that {said} can take{hint}")
    if at.get("q", 1) <= 0:
        raise SweepError(f"parameter `{name}`: q is {at['q']}, expected more than 0")


def value_of(at: Written, drawn: Any) -> Any:
    """The option's value that stands for what Optuna draws."""
    if "probabilities" in at:
        bounds = list(itertools.accumulate(at["probabilities"]))[:-1]
        return at["values"][bisect_right(bounds, drawn)]
    if "value" in at or "values" in at:
        return json.loads(drawn)
    if "q" in at:
        # Without rounding noise in the last digits; a whole number if q is one.
        return drawn * at["q"] if isinstance(at["q"], int) else float(f"{drawn * at['q']:.12g}")
    return drawn


def every(name: str, distribution: BaseDistribution) -> Sequence[Any]:
    """All that Optuna can draw, in order.  Raises: SweepError, this is infinitely much."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1)
    raise SweepError(f"parameter `{name}`: a grid needs a finite list of values; use method random")


def grid(space: Mapping[str, BaseDistribution]) -> Iterator[Values]:
    """Every combination of what can be drawn, the last parameter changing fastest.

    Optuna's grid sampler may give a combination to two processes, so it is not used.
    Raises: SweepError, a parameter is continuous.
    """
    axes = [every(name, distribution) for name, distribution in space.items()]
    return (dict(zip(space, chosen, strict=True)) for chosen in itertools.product(*axes))


def random(space: Mapping[str, BaseDistribution], *, count: int, seed: int) -> Iterator[Values]:
    """`count` combinations by Optuna's random sampler; a larger count only adds some."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return (study.ask(dict(space)).params for _ in range(count))

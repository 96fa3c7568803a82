"""A sweep's file: the YAML that `wandb sweep` reads, read here without W&B."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner

from data_modules.common.errors import MALFORMED, did_you_mean
from vdsm_glass import recipes
from vdsm_glass.sweeps.parameters import SweepError, Values, distribution_of, grid, random, value_of

KEYS = (
    *("name", "description", "program", "project", "entity"),
    *("method", "metric", "parameters", "command", "early_terminate", "run_cap"),
)
METHODS = ("grid", "random", "bayes")
HYPERBAND = {"type", "min_iter", "max_iter", "s", "eta", "strict"}
GOALS = ("minimize", "maximize")
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
FIT = ("-m", "vdsm_glass", "fit")
ARGS = "${args}"
HOME = "sweeps"
LONGEST_NAME = 60


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Args:
        file: the YAML file.
        method: how trials are chosen; `bayes` is Optuna's tree-structured Parzen estimator here.
        metric, goal: the metric that trials are compared by, and whether to minimize or maximize it.
        parameters: the varied options as written, by their dotted names.
        command: the words of a trial's command line, with W&B's macros.
        cap: the largest number of trials; None for no limit.
        pruner: ends poor trials early, if the file says so.
    """

    file: Path
    method: str
    metric: str
    goal: Literal["minimize", "maximize"]
    parameters: dict[str, dict[str, Any]]
    command: tuple[str, ...]
    cap: int | None = None
    pruner: BasePruner = field(default_factory=NopPruner)

    @property
    def name(self) -> str:
        """The folder of its trials below that of all runs, such as `sweeps/glass/actions`."""
        name = recipes.name_of(self.file)
        return name if name.startswith(f"{HOME}/") else f"{HOME}/{name}"

    @property
    def recipe(self) -> Path:
        """The recipe that trials vary.  Raises: SweepError, the command names none."""
        files = recipes.configs_in(self.command)
        if not files:
            raise SweepError(f"{self.file}: its command names no recipe; add --config, experiments/.../RECIPE.yaml")
        return files[0]

    @cached_property
    def space(self) -> dict[str, BaseDistribution]:
        """The parameters as Optuna's distributions.  Raises: SweepError, one cannot be drawn."""
        return {name: distribution_of(name, at) for name, at in self.parameters.items()}

    def trial(self, drawn: Values) -> Trial:
        """The trial of what Optuna has drawn."""
        return Trial({name: value_of(at, drawn[name]) for name, at in self.parameters.items()}, drawn)

    def trials(self, *, count: int | None = None, seed: int = 0) -> list[Trial]:
        """The trials, without duplicates; of `bayes`, whose trials depend on results, random ones in the same ranges.

        Args: count, the largest number of them, by default the file's run_cap; seed, for random search.
        Raises: SweepError, random search without a count.
        """
        count = self.cap if count is None else count
        if self.method == "grid":
            chosen = list(grid(self.space))[:count]
        elif count is None:
            raise SweepError(
                f"{self.file}: {self.method} search never ends by itself; give the number of trials: --count 20"
            )
        else:
            chosen = list(random(self.space, count=count, seed=seed))
        return list({trial.name: trial for trial in map(self.trial, chosen)}.values())

    def arguments(self, trial: Trial, options: Sequence[str] = ()) -> list[str]:
        """`fit ...`: the trial's command line behind `python -m vdsm_glass`.

        Args: options, further ones, which the trial's own values override.
        """
        words: list[str] = []
        for word in self.command[self.command.index("fit") :]:
            words += [*options, *trial.flags] if word == ARGS else [word]
        return words


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.  Args: values, by the option's dotted name; drawn, what stands for them in Optuna."""

    values: Values
    drawn: Values = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Its values, shortened, and a checksum of them: equal values have equal names in every sweep."""
        said = "-".join(f"{last_part(name)}_{_short(value)}" for name, value in self.values.items())
        checksum = hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()[:6]
        readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", said)[:LONGEST_NAME].strip("_.-")
        return f"{readable}-{checksum}"

    @property
    def flags(self) -> list[str]:
        """Its options, written as W&B's agent writes them."""
        return [f"--{name}={value}" for name, value in self.values.items()]


def last_part(name: str) -> str:
    """The short name of an option: the last part of its dotted name, without `.knots`."""
    return name.removesuffix(".knots").rpartition(".")[2]


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return Path(value).stem if isinstance(value, str) and value.endswith(".yaml") else str(value)


def read(file: Path) -> Sweep:
    """Reads a sweep's file.

    Raises: SweepError or RecipeError, naming the file, the key, what was expected and the nearest valid key.
    """
    content = recipes.read(file)
    try:
        return _read(file, content)
    except MALFORMED as error:
        raise SweepError(f"{file}: holds a value of a kind that has no place where it is: {error}") from error


def _read(file: Path, content: dict[str, Any]) -> Sweep:
    for key in content:
        if key not in KEYS:
            raise SweepError(f"{file}: there is no key `{key}`{did_you_mean(key, KEYS)}; a sweep has {', '.join(KEYS)}")
    method, metric = content.get("method"), content.get("metric")
    if method not in METHODS:
        raise SweepError(f"{file}: method is {method!r}, expected one of {', '.join(METHODS)}")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str) or metric.keys() - {"name", "goal"}:
        raise SweepError(f"{file}: metric is {metric!r}, expected {{name: val/loss, goal: minimize}}")
    goal = metric.get("goal", GOALS[0])
    if goal not in GOALS:
        raise SweepError(f"{file}: metric.goal is {goal!r}, expected one of {', '.join(GOALS)}")
    cap = content.get("run_cap")
    if cap is not None and (not isinstance(cap, int) or cap < 1):
        raise SweepError(f"{file}: run_cap is {cap!r}, expected a whole number, 1 or more")
    sweep = Sweep(
        file=file,
        method=method,
        metric=metric["name"],
        goal=goal,
        parameters=_parameters(file, content.get("parameters")),
        command=_command(file, content.get("command")),
        cap=cap,
        pruner=_pruner(file, content.get("early_terminate")),
    )
    assert sweep.recipe
    return sweep


def _parameters(file: Path, content: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(content, dict) or not content:
        raise SweepError(f"{file}: parameters is {content!r}, expected options by their dotted names")
    for name, at in content.items():
        if not isinstance(name, str) or not PARAMETER.fullmatch(name):
            raise SweepError(f"{file}: {name!r} is not a parameter's name; W&B takes letters, digits, `_`, `.`, `-`")
        if not isinstance(at, dict):
            raise SweepError(f"{file}: parameter `{name}` is {at!r}, expected its value, values or distribution")
        try:
            distribution_of(name, at)
        except SweepError as error:
            raise SweepError(f"{file}: {error}") from None
    return content


def _pruner(file: Path, content: Any) -> BasePruner:
    """W&B's hyperband, by Optuna's successive halving: both compare every trial after min_iter eta^n measurements."""
    if content is None:
        return NopPruner()
    try:
        said = {"eta": 3, **content}
        first = said["min_iter"] if "min_iter" in said else said["max_iter"] // said["eta"] ** said["s"]
        if said["type"] != "hyperband" or said.keys() - HYPERBAND or not isinstance(first, int):
            raise ValueError
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=said["eta"])
    except (KeyError, TypeError, ValueError):
        raise SweepError(
            f"{file}: early_terminate is {content!r}, expected {{type: hyperband, min_iter: 3, eta: 3}}, or max_iter "
            "and s in place of min_iter; numbers are whole, min_iter is 1 or more, eta is 2 or more"
        ) from None


def _command(file: Path, content: Any) -> tuple[str, ...]:
    words = tuple(str(word) for word in content) if isinstance(content, list) else ()
    if words[2:5] != FIT or words[:2] != ("${env}", "${interpreter}") or words.count(ARGS) != 1:
        raise SweepError(
            f"{file}: command is {content!r}, expected "
            f"[${{env}}, ${{interpreter}}, {', '.join(FIT)}, --config, experiments/.../RECIPE.yaml, {ARGS}]"
        )
    return words

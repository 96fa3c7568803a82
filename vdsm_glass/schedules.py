"""Schedules: pure functions of training progress, declared in YAML as knots and a shape.

Callbacks ask a schedule for a value and apply it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

Shape = Literal["half_sine", "linear", "quadratic"]
Rounding = Literal["none", "floor", "nearest"]


@dataclass(frozen=True)
class Schedule:
    """A curve through `knots`, constant before the first and after the last.

    Args:
        knots: [position, value] pairs in rising position. The callback with the schedule defines a position: a share of
            the stage's epochs, or a step.
        shape: of the curve between two knots.
            `half_sine`: v0 + (v1 - v0) (1 - cos πu) / 2, half a period of a sine, flat at both knots;
            `linear`: v0 + (v1 - v0) u;
            `quadratic`: the quadratic spline through all knots (one parabola through three).
        minimum: the lowest value. A quadratic spline can undershoot its knots, and a weight on a KL must not.
        rounding: `none` gives floats; `floor` and `nearest` (halves to the even neighbour) give whole numbers.

    Raises:
        ValueError: no knots, knots that are not pairs, positions that do not rise, or too few knots for the shape.
    """

    knots: list[list[float]]
    shape: Shape = "half_sine"
    minimum: float = 0.0
    rounding: Rounding = "none"

    def __post_init__(self) -> None:
        if not self.knots or any(len(knot) != 2 for knot in self.knots):
            raise ValueError(f"a schedule needs [position, value] knots, got {self.knots}; write [[0, 0.1], [1, 1.0]]")
        positions = self._positions
        if any(b <= a for a, b in pairwise(positions)):
            raise ValueError(f"positions of a schedule's knots must rise, got {positions}; put them in order")
        if self.shape == "quadratic" and len(self.knots) < 3:
            raise ValueError(f"a quadratic schedule needs 3 knots or more, got {self.knots}; use shape linear")

    @property
    def _positions(self) -> list[float]:
        return [float(position) for position, _ in self.knots]

    @cached_property
    def _spline(self):
        from scipy.interpolate import make_interp_spline

        return make_interp_spline(self._positions, [value for _, value in self.knots], k=2)

    def __call__(self, position: float) -> float:
        """The value at `position`."""
        first, last = self.knots[0], self.knots[-1]
        if position <= first[0]:
            value = first[1]
        elif position >= last[0]:
            value = last[1]
        elif self.shape == "quadratic":
            value = float(self._spline(position))
        else:
            value = self._between(position)
        value = max(float(value), self.minimum)
        return {"none": lambda v: v, "floor": math.floor, "nearest": round}[self.rounding](value)

    def _between(self, position: float) -> float:
        right = bisect_right(self._positions, position)
        (p0, v0), (p1, v1) = self.knots[right - 1], self.knots[right]
        u = (position - p0) / (p1 - p0)
        if self.shape == "half_sine":
            u = (1 - math.cos(math.pi * u)) / 2
        return v0 + (v1 - v0) * u


def share_of_epochs(*, epoch: int, max_epochs: int) -> float:
    """Progress of a stage: 0 in its first epoch, 1 in its last, which thus has the schedule's end value."""
    return min(epoch / max(max_epochs - 1, 1), 1.0)


LEAST_RATE = 0.02


def rate(step: int, *, drop: tuple[int, float], decay: tuple[int, int] | None = None) -> float:
    """What the learning rate is multiplied by at `step`.

    Args: drop, [step, factor]; decay, [first, last] steps of a line from 1 to `LEAST_RATE`, or None.
    """
    factor = drop[1] if step >= drop[0] else 1.0
    if decay is None:
        return factor
    first, last = decay
    return factor * max(LEAST_RATE, 1 - (1 - LEAST_RATE) * max(0, step - first) / max(1, last - first))

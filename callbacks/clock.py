"""A training that goes through all phases of its recipe within a time, however long its steps take."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from lightning.pytorch import Callback, Trainer

from data_modules.common.errors import UserError
from vdsm_glass.glass.module import GLASSModule

LEAST_STEPS = 4
"""Of each phase, also where time is over."""


class Clock(Callback):
    """Tells GLASS where it is in its recipe by the time that is over, and ends training when all of it is.

    Every phase has a share of the time. Within a phase the recipe's steps go by evenly in time, so that all schedules
    and learning rates reach their ends, whether the machine makes more optimiser steps in it or fewer. What lies
    between two steps counts, too: at every step the rest of the recipe is laid over the rest of the time. What the
    recipe counts in steps of the codebook is scaled alike.

    List it before `GLASSSchedules`.

    Args:
        minutes: from when this is made. A resumed run has what was left when its checkpoint was written.
        steps: of the recipe: where each phase begins, and where the last one ends.
        shares: of the time, for each phase.

    Raises: UserError, there is no time, or there are not as many shares as phases.
    """

    def __init__(self, minutes: float, steps: Sequence[int], shares: Sequence[float]) -> None:
        if not minutes > 0 or len(steps) != len(shares) + 1:
            raise UserError(
                f"the clock has {minutes} minutes, and {len(shares)} shares for {len(steps)} borders of phases; "
                "expected more than 0 minutes, and a border more than shares"
            )
        self.seconds, self.steps = 60 * minutes, list(steps)
        self.borders = [each / sum(shares) for each in accumulate(shares)]
        self.over, self.in_phase = 0.0, 0
        self._spent_before, self._began = 0.0, time.monotonic()
        self.kept, self._last = 0.0, self._began

    @property
    def left(self) -> float:
        """Seconds, without those `kept` for what comes after the last step."""
        return self.seconds - self._spent - self.kept

    @property
    def _spent(self) -> float:
        return self._spent_before + time.monotonic() - self._began

    @property
    def phase(self) -> int:
        """Its number, from 0."""
        return min(bisect_right(self.borders, self.over), len(self.borders) - 1)

    @property
    def gone(self) -> float:
        """Steps of the recipe since the phase began."""
        first, last = self.steps[self.phase : self.phase + 2]
        began, ends = ([0.0, *self.borders])[self.phase : self.phase + 2]
        return (last - first) * (self.over - began) / (ends - began)

    @property
    def position(self) -> int:
        """The step of the recipe."""
        return min(self.steps[self.phase] + int(self.gone), self.steps[self.phase + 1] - 1)

    def advance(self) -> None:
        """A step has ended."""
        took, left = time.monotonic() - self._last, self.left
        self._last += took
        ends, self.in_phase = self.borders[self.phase], self.in_phase + 1
        to = 1.0 if left <= 0 else self.over + (1 - self.over) * took / (took + left)
        if to < ends:
            self.over = to
        elif self.in_phase >= LEAST_STEPS:
            self.over, self.in_phase = ends, 0

    def on_fit_start(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        pl_module.at, self._last = self.position, time.monotonic()
        trainer.should_stop = self.over >= 1

    def on_train_batch_start(self, trainer: Trainer, pl_module: GLASSModule, batch: Any, batch_idx: int) -> None:
        pl_module.at = self.position
        pace = (self.in_phase + 1) / self.gone if self.gone else 1.0
        for name in ("codebook_start", "revive_after"):
            setattr(pl_module.net.lma.VQ, name, math.ceil(pace * pl_module.hparams["lma"][name]))

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.advance()
        trainer.should_stop = self.over >= 1

    def state_dict(self) -> dict[str, Any]:
        return {"over": self.over, "in_phase": self.in_phase, "spent": self._spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.over, self.in_phase = state_dict["over"], state_dict["in_phase"]
        self._spent_before = state_dict["spent"]

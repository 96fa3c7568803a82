"""Values that go with the optimiser step: what the schedules of several models share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from data_modules.common.errors import UserError
from vdsm_glass.schedules import Schedule

DRAWN_STEPS = 400
LEAST = {"T_f": 1, "T": 2, "recf_levels": 1, "clips": 1}
"""The least value of each whole number."""


class StepSchedules(Callback):
    """Gives the module's `schedule` its values before every step, logs them, and draws them once.

    A knot's position is a number of optimiser steps, or the module's `position` where it has one. The picture is
    `<run>/pictures/schedules.png`. The values depend on the step alone, so a resumed run needs no saved state.

    Args: given, schedules by name; None is left out.
    Raises: UserError, values are too small, or not whole numbers where `LEAST` has them.
    """

    def __init__(self, given: Mapping[str, Schedule | None]) -> None:
        self.schedules = {name: schedule for name, schedule in given.items() if schedule is not None}
        for name, schedule in self.schedules.items():
            if name in LEAST and schedule.rounding == "none":
                raise UserError(f"the schedule of {name} needs whole numbers; set its rounding: nearest")
            if (least := min(self.values(step)[name] for step in places(schedule))) < (bound := LEAST.get(name, 0)):
                raise UserError(f"the schedule of {name} falls to {least}, expected {bound} or more at every knot")

    def values(self, step: int) -> dict[str, Any]:
        """The value of every schedule after `step` optimiser steps."""
        values = {name: schedule(step) for name, schedule in self.schedules.items()}
        return {name: int(value) if name in LEAST else value for name, value in values.items()}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.draw(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        values = self.values(getattr(pl_module, "position", trainer.global_step))
        pl_module.schedule(**values)
        pl_module.log_dict({f"schedule/{name}": float(value) for name, value in values.items()})

    @rank_zero_only
    def draw(self, trainer: Trainer) -> None:
        """Draws the schedules over the whole training."""
        from vdsm_glass.pictures import draw_curves

        last = max(knot[0] for schedule in self.schedules.values() for knot in schedule.knots)
        steps = int(max(last * 1.1, trainer.max_steps, 1))
        drawn = [round(i * steps / DRAWN_STEPS) for i in range(DRAWN_STEPS + 1)]
        curves = {name: [self.values(step)[name] for step in drawn] for name in self.schedules}
        draw_curves(
            curves,
            Path(trainer.default_root_dir) / "pictures" / "schedules.png",
            across="step",
            positions=dict.fromkeys(curves, drawn),
        )


def places(schedule: Schedule) -> list[int]:
    """DRAWN_STEPS + 1 evenly spaced steps from the first knot to the last."""
    first, last = (round(schedule.knots[end][0]) for end in (0, -1))
    return [first + round(i * (last - first) / DRAWN_STEPS) for i in range(DRAWN_STEPS + 1)]

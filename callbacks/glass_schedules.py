"""Schedules of GLASS: the clip's length T, how many real frames the RNN sees, T_f, and the levels of L_RECF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from data_modules.errors import UserError
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.schedules import Schedule

DRAWN_STEPS = 400
LEAST = {"T_f": 1, "T": 2, "recf_levels": 1, "clips": 1}


class GLASSSchedules(Callback):
    """Applies T_f, T and the levels of L_RECF before every step, logs them, and draws them once.

    [GLASS appendix B.2]. A knot's position is the number of optimiser steps done. The picture goes to
    `<run>/pictures/schedules.png`. Nothing is kept between steps: on resume the values follow from the step.

    Args:
        T_f: frames after which the RNN is fed its own.
        T: frames of a training clip, the first of those that the data gives; None takes them all.
        recf_levels: over how many average-pooled copies L_RECF is summed.
        clips: of a batch, the first so many are trained on; None takes them all. Long clips then cost what short ones
            do.

    Raises: UserError, a schedule that does not give whole numbers, or gives too small ones.
    """

    def __init__(
        self,
        T_f: Schedule,
        T: Schedule | None = None,
        recf_levels: Schedule | None = None,
        clips: Schedule | None = None,
    ) -> None:
        given = {"T_f": T_f, "T": T, "recf_levels": recf_levels, "clips": clips}
        self.schedules = {name: schedule for name, schedule in given.items() if schedule is not None}
        for name, schedule in self.schedules.items():
            if schedule.rounding == "none":
                raise UserError(f"the schedule of {name} counts, so its values are whole; set its rounding: nearest")
            if (least := min(int(schedule(step)) for step in places(schedule))) < LEAST[name]:
                raise UserError(
                    f"the schedule of {name} falls to {least}, expected {LEAST[name]} or more at every knot"
                )

    def values(self, step: int) -> dict[str, int]:
        """The value of every schedule after `step` optimiser steps."""
        return {name: int(schedule(step)) for name, schedule in self.schedules.items()}

    def on_fit_start(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.draw(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: GLASSModule, batch: Any, batch_idx: int) -> None:
        values = self.values(trainer.global_step)
        pl_module.schedule(**values)
        pl_module.log_dict({f"schedule/{name}": float(value) for name, value in values.items()})

    @rank_zero_only
    def draw(self, trainer: Trainer) -> None:
        """Draws the schedules over the whole of the training."""
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
    """Steps at all knots and between them, as finely as the picture shows them."""
    first, last = (round(schedule.knots[end][0]) for end in (0, -1))
    return [first + round(i * (last - first) / DRAWN_STEPS) for i in range(DRAWN_STEPS + 1)]

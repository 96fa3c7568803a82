"""The schedules of models that are controlled by one of K actions a frame."""

from __future__ import annotations

from callbacks.schedules import StepSchedules
from vdsm_glass.schedules import Schedule


class ActionSchedules(StepSchedules):
    """Applies its values before every step, see `StepSchedules`.

    Args:
        T_f: the number of frames of a clip that the next ones are drawn from; after them, from drawn ones. None: all.
        T: the number of frames of a training clip, its first ones; None takes all.
        clips: the number of clips of a batch that are trained on, its first ones; None takes all. Long clips then cost
            what short ones do.
    """

    def __init__(self, T_f: Schedule | None = None, T: Schedule | None = None, clips: Schedule | None = None) -> None:
        super().__init__({"T_f": T_f, "T": T, "clips": clips})

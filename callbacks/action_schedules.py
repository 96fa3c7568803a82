"""The schedules of models that are controlled by one of K actions a frame."""

from __future__ import annotations

from callbacks.schedules import StepSchedules
from data_modules.common.errors import UserError
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


class CADDYSchedules(ActionSchedules):
    """As `ActionSchedules`, and the temperature τ of CADDY's Gumbel-softmax.

    Args:
        temperature: τ.
        T_f, T, clips: see `ActionSchedules`.

    Raises: UserError, τ is 0 somewhere.
    """

    def __init__(
        self,
        temperature: Schedule,
        T_f: Schedule | None = None,
        T: Schedule | None = None,
        clips: Schedule | None = None,
    ) -> None:
        super().__init__(T_f=T_f, T=T, clips=clips)
        if min(value for _, value in temperature.knots) <= 0:
            raise UserError(f"the schedule of temperature has the knots {temperature.knots}, expected values above 0")
        self.schedules["temperature"] = temperature

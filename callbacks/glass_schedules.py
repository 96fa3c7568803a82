"""GLASS's schedules: clip length T, how many real frames T_f the RNN sees, L_RECF's levels, and some weights λ."""

from __future__ import annotations

from callbacks.schedules import StepSchedules
from vdsm_glass.schedules import Schedule


class GLASSSchedules(StepSchedules):
    """Applies its values before every step, see `StepSchedules`.  [GLASS appendix B.2]

    Args:
        T_f: the number of frames after which the RNN is fed its own.
        T: the number of frames of a training clip, its first ones; None takes all.
        recf_levels: the number of average-pooled copies that L_RECF is summed over.
        clips: the number of clips of a batch that are trained on, its first ones; None takes all. Long clips then cost
            what short ones do.
        bin: λ_BIN, in place of that of the weights. A large one from the beginning makes masks vanish; at the end it
            makes them sharp.
        difference: λ of the difference to a fixed ground, in place of that of the weights, see `MedianGround`.
        found: λ of `GLASS.found_again`, in place of that of the weights. A large one gives figures coloured edges.

    Raises: UserError, values are too small, or not whole numbers, which all are but the last three.
    """

    def __init__(
        self,
        T_f: Schedule,
        T: Schedule | None = None,
        recf_levels: Schedule | None = None,
        clips: Schedule | None = None,
        bin: Schedule | None = None,
        difference: Schedule | None = None,
        found: Schedule | None = None,
    ) -> None:
        given = {"T_f": T_f, "T": T, "recf_levels": recf_levels, "clips": clips}
        super().__init__(given | {"bin": bin, "difference": difference, "found": found})

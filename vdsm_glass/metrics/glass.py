"""GLASS against the labels of a dataset that has them: what is scored against what.  [GLASS section 6]"""

from __future__ import annotations

from collections.abc import Mapping

from einops import rearrange
from torch import Tensor
from torchmetrics import MeanMetric

from data_modules.batch import VideoBatch
from vdsm_glass.glass.animation import Animation, Inference
from vdsm_glass.glass.net import GLASS
from vdsm_glass.metrics.actions import ActionScores, collection, computed
from vdsm_glass.metrics.masks import MaskIoU
from vdsm_glass.metrics.motion import AngleAccuracy, ShiftError, in_walk_units

LAYERS = ("foreground", "background")
ERROR, PAPER_UNITS, ANGLE = "shift_error", "shift_error_paper_units", "angle_accuracy"


class GLASSScores(ActionScores):
    """GLASS's scores on clips with labels; a score whose labels are missing is left out.

    `compute` gives by name, as scalars:

    `clips`: how many were scored.
    `miou`, `miou_thresholded`: M's masks of the real frames against the true ones, see `MaskIoU`.
    `miou_re`, `miou_re_thresholded`: M's masks of the frames animated from the first frame, which itself is not
    counted, against the true ones. `miou_re_teacher_forced`, ...: alike of frames that were each drawn from the real
    frame before, as the published numbers are.
    `foreground_shift_error`, `..._min`, `..._max`: see `ShiftError`; `foreground_angle_accuracy`: see `AngleAccuracy`.
    `foreground_shift_error_paper_units`, `..._min`, `..._max`: Table 2's arithmetic, which mixes units, see
    `in_walk_units`; `..._paper_units_perfect`, ...: what a perfect predictor gets there.
    `background_...`: the same for the background.
    All of `ActionScores`.
    `foreground_mse_at_changes`: ‖f̂ - f‖² of animated foregrounds and true ones, both in [-1, 1] and 0 outside, per
    pixel of the frame, on frames whose label differs from the one before; `..._other_codes`: alike, each clip animated
    by the local actions of another one; `other_codes_cost`: how much larger that is, as a share.

    Args:
        actions: K, the number of local actions.
        walks: the reach of each layer's walk, (x, y) in pixels of the frame; a layer without it, or with a reach of 0,
            has no scores in paper units.
    """

    def __init__(self, *, actions: int, walks: Mapping[str, tuple[float, float]] | None = None) -> None:
        super().__init__(actions=actions)
        self.walks = dict(walks or {})
        self.masks = collection({"miou": MaskIoU(), "miou_re": MaskIoU(), "miou_re_teacher_forced": MaskIoU()})
        kinds = (ERROR, PAPER_UNITS, f"{PAPER_UNITS}_perfect")
        self.shifts = collection({f"{layer}_{kind}": ShiftError() for layer in LAYERS for kind in kinds})
        self.angles = collection({f"{layer}_{ANGLE}": AngleAccuracy() for layer in LAYERS})
        self.changes = collection({"own": MeanMetric(), "other": MeanMetric()})

    def update(
        self,
        net: GLASS,
        batch: VideoBatch,
        *,
        inference: Inference,
        animation: Animation,
        forced: Tensor | None = None,
        other: Animation | None = None,
    ) -> None:
        """Args: batch, decoded; inference of its videos; animation of their first frames by the inferred actions;

        forced (b, t, 3, h, w) in [0, 1], frames 2..T each drawn from the real frame before, and other, animated by
        other clips' local actions, if these are scored.
        """
        self.update_actions(batch, inference.actions.local_action)
        if batch.mask is not None:
            self.masks["miou"].update(inference.layers.m, batch.mask)
            for name, video in {"miou_re": animation.video, "miou_re_teacher_forced": forced}.items():
                if video is not None:
                    drawn = rearrange(video[:, 1:], "b t c h w -> (b t) c h w")
                    again = rearrange(net.gma.M(2 * drawn - 1), "(b t) c h w -> b t c h w", b=len(batch))
                    self.masks[name].update(again, batch.mask[:, 1:])
        for layer in LAYERS:
            target = getattr(batch, f"{layer}_shift")
            if target is not None:
                self.update_shift(layer, getattr(inference.actions, f"{layer}_shift"), target)
        if batch.local_action is not None and batch.mask is not None and other is not None:
            changed = batch.local_action[:, 1:] != batch.local_action[:, :-1]
            target = ((2 * batch.video - 1) * batch.mask)[:, 1:][changed]
            for name, drawn in {"own": animation, "other": other}.items():
                self.changes[name].update((drawn.foreground[:, 1:][changed] - target).square())

    def update_shift(self, layer: str, predicted: Tensor, target: Tensor) -> None:
        """Args: layer, one of `LAYERS`; predicted, target: (b, t-1, 2) in pixels."""
        self.shifts[f"{layer}_{ERROR}"].update(predicted, target)
        self.angles[f"{layer}_{ANGLE}"].update(predicted, target)
        if all(self.walks.get(layer, [0])):
            mixed = in_walk_units(target, self.walks[layer])
            self.shifts[f"{layer}_{PAPER_UNITS}"].update(predicted, mixed)
            self.shifts[f"{layer}_{PAPER_UNITS}_perfect"].update(target, mixed)

    def compute(self) -> dict[str, Tensor]:
        """The scores of all processes together; every process calls it."""
        named = super().compute()
        for name, iou in computed(self.masks):
            named |= {name: iou["soft"], f"{name}_thresholded": iou["thresholded"]}
        for name, error in computed(self.shifts):
            named |= {name: error["mean"], f"{name}_min": error["min"], f"{name}_max": error["max"]}
        named |= {name: value for name, value in computed(self.angles) if not value.isnan()}
        if self.changes["own"].update_called:
            own, other = (self.changes[name].compute() for name in ("own", "other"))
            named |= {"foreground_mse_at_changes": own, "foreground_mse_at_changes_other_codes": other}
            named |= {"other_codes_cost": other / own - 1}
        return named

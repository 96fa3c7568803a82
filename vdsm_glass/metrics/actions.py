"""Inferred actions against the labels of a dataset that has them.  [GLASS section 6; Menapace et al. 2021]"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from einops import repeat
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, SumMetric

from data_modules.batch import VideoBatch
from vdsm_glass.metrics.motion import DeltaAccuracy, DeltaMSE
from vdsm_glass.metrics.nmi import ActionNMI


class ActionScores(nn.Module):
    """The scores of inferred actions on clips with labels; a score whose labels are missing is left out.

    `compute` gives by name, as scalars:

    `clips`: how many were scored.
    `nmi_g`, `nmi_rand`, `nmi_s`, `con`, `nmi_rest`, `nmi_identity` and their levels of chance: see `ActionNMI`.
    `delta_mse`, `delta_acc`: the true shift of the foreground given the inferred action, see `DeltaMSE`,
    `DeltaAccuracy`.

    Args: actions, K.
    """

    def __init__(self, *, actions: int) -> None:
        super().__init__()
        self.clips = SumMetric()
        self.nmi = ActionNMI(actions=actions)
        self.controllability = collection({"delta_mse": DeltaMSE(actions=actions), "delta_acc": DeltaAccuracy()})

    def update_actions(self, batch: VideoBatch, action: Tensor) -> None:
        """Args: batch, decoded; action (b, t-1) int64, inferred."""
        self.clips.update(len(batch))
        shift = batch.foreground_shift
        if shift is not None:
            self.controllability.update(shift, action)
        if batch.local_action is not None:
            # The action between frames t and t + 1 is the label of frame t + 1.
            true = batch.local_action[:, 1:]
            identity = repeat(batch.identity, "b -> b t", t=true.shape[1])
            rest = None if shift is None else (shift == 0).all(dim=-1)
            self.nmi.update(predicted=action, true=true, identity=identity, rest=rest)

    def compute(self) -> dict[str, Tensor]:
        """The scores of all processes together; every process calls it."""
        found = {name: value for name, value in computed(self.controllability) if not value.isnan()}
        return {"clips": self.clips.compute()} | found | (self.nmi.compute() if self.nmi.update_called else {})

    def reset(self) -> None:
        """Forgets all batches."""
        for metric in self.modules():
            if isinstance(metric, Metric):
                metric.reset()


def collection(metrics: dict[str, Metric]) -> MetricCollection:
    """Metrics by name, each updated on its own."""
    return MetricCollection(dict(metrics), compute_groups=False)


def computed(metrics: MetricCollection) -> Iterator[tuple[str, Any]]:
    """The results, by name, of the metrics that were updated."""
    return ((name, metric.compute()) for name, metric in metrics.items(copy_state=False) if metric.update_called)

"""A set of metrics that get the same clips; a metric that fails gives its reason, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from data_modules.common.errors import UserError
from vdsm_glass.metrics.registry import METRICS, MetricKind, check_names
from vdsm_glass.metrics.results import NotComputed, Protocol, Result


@dataclass
class Running:
    """A metric in use, its kind, and the seconds that it has taken."""

    kind: MetricKind
    metric: Metric
    seconds: float = 0.0


@dataclass(frozen=True)
class SuiteState:
    """What a suite has measured so far: by metric its state and its seconds; and the gaps."""

    metrics: Mapping[str, tuple[dict[str, Any], float]]
    not_computed: Sequence[NotComputed]


class Suite:
    """Metrics by the names of their results.

    Args:
        metrics: names of `METRICS`.
        paired: whether each generated clip has a real one that it should equal; if not, only distributions are
            compared.
        frames: of a clip, as scored.
        weights: files of weights by metric; by default those in the cache.
        stand_ins: replace weights by random ones; the results then have other names.
        prefix: of all names.
    Raises: UserError, an unknown metric.
    """

    def __init__(
        self,
        metrics: Iterable[str],
        *,
        paired: bool,
        frames: int,
        weights: Mapping[str, Path] | None = None,
        stand_ins: bool = False,
        prefix: str = "",
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.running: dict[str, Running] = {}
        self.not_computed: list[NotComputed] = []
        metrics = list(metrics)
        check_names(metrics)
        for name in metrics:
            kind = METRICS[name]
            if kind.kind != "distribution" and not paired:
                continue
            shown = prefix + kind.reported(stand_ins)
            if frames < kind.fewest_frames:
                reason = f"clips of {frames} frames are scored, it needs {kind.fewest_frames} or more"
                self.not_computed.append(NotComputed(shown, reason))
                continue
            try:
                metric = kind.make((weights or {}).get(name), stand_in=stand_ins)
            except UserError as error:
                self.not_computed.append(NotComputed(shown, str(error)))
            else:
                share_network(metric, [running.metric for running in self.running.values()])
                self.running[shown] = Running(kind, metric.to(device))

    def update(self, generated: Tensor | None, reference: Tensor | None) -> None:
        """Adds clips, (b, t, 3, h, w) in [0, 1]; one side may be None if only distributions are compared."""
        for name, running in list(self.running.items()):
            began = time.perf_counter()
            try:
                feed(running, generated, reference)
            except UserError as error:
                self.give_up(name, error)
            running.seconds += time.perf_counter() - began

    def state(self) -> SuiteState:
        """What has been measured, on the CPU."""
        found = {name: (running.metric.cpu().metric_state, running.seconds) for name, running in self.running.items()}
        return SuiteState(found, self.not_computed)

    def merge(self, other: SuiteState) -> None:
        """Adds what a suite of the same metrics has measured of other clips; it gives up what that one gave up."""
        for gap in other.not_computed:
            if gap.name in self.running:
                self.give_up(gap.name, UserError(gap.reason))
        for name, running in self.running.items():
            state, seconds = other.metrics[name]
            running.metric.merge_state(state)
            running.metric._update_count += 1  # `merge_state` leaves it, and `compute` warns where it is 0
            running.seconds += seconds

    def compute(self, protocol: Protocol) -> tuple[list[Result], list[NotComputed]]:
        """The results of all processes together, and what could not be computed; every process calls it."""
        self.agree()
        results = []
        for name, running in list(self.running.items()):
            began = time.perf_counter()
            try:
                found = running.metric.compute()
            except UserError as error:
                self.give_up(name, error)
                continue
            seconds = running.seconds + time.perf_counter() - began
            reported = name.replace(running.kind.name, running.kind.sized(protocol), 1)
            for part, value, per_position in numbers(found):
                if not isfinite(value):
                    self.not_computed.append(NotComputed(reported, why_not_finite(value)))
                    continue
                results.append(
                    Result(
                        name=f"{reported}/{part}" if part else reported,
                        value=value,
                        protocol=protocol,
                        seconds=round(seconds, 3),
                        per_position=per_position,
                        **getattr(running.metric, "network_info", {}),
                    )
                )
        return results, list(self.not_computed)

    def agree(self) -> None:
        """Gives up every metric that another process gave up and would not answer for in `compute`."""
        if not distributed.is_available() or not distributed.is_initialized():
            return
        everywhere: list[list[NotComputed]] = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(everywhere, self.not_computed)
        for rank, gaps in enumerate(everywhere):
            for gap in gaps:
                if gap.name in self.running:
                    self.give_up(gap.name, UserError(f"process {rank}: {gap.reason}"))

    def give_up(self, name: str, error: UserError) -> None:
        """Stops a metric and records the reason."""
        del self.running[name]
        self.not_computed.append(NotComputed(name, str(error)))


def share_network(metric: Metric, others: Iterable[Metric]) -> None:
    """Gives a metric the network of one that has the same, so that features of the same frames are computed once."""
    for other in others:
        mine, theirs = (getattr(each, "extractor", None) for each in (metric, other))
        if mine is not None and theirs is not None and mine.info == theirs.info:
            metric.extractor = theirs


def why_not_finite(value: float) -> str:
    """The reason to report in place of a value that is not finite."""
    known = {inf: "some generated frames equal the real ones"}
    return f"is {value}: {known.get(value, 'the generated frames, or their features, are not finite')}"


def feed(running: Running, generated: Tensor | None, reference: Tensor | None) -> None:
    """Updates a metric in the way of its kind.  Raises: UserError, clips that it cannot score."""
    if running.kind.kind == "distribution":
        for video, real in ((reference, True), (generated, False)):
            if video is not None:
                running.metric.update(video, real=real)
    elif generated is not None and reference is not None:
        running.metric.update(generated, reference)


def numbers(found: Tensor | Mapping[str, Tensor]) -> list[tuple[str, float, tuple[float, ...] | None]]:
    """The name, the value and the values by position of each part of what `compute` gave."""
    if isinstance(found, Tensor):
        return [("", float(found), None)]
    if "per_position" in found:
        # If clips have one frame, torchmetrics turns the only position into a scalar.
        return [("", float(found["mean"]), tuple(found["per_position"].reshape(-1).tolist()))]
    return [(name, float(value), None) for name, value in found.items()]

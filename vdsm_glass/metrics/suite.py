"""A set of metrics fed with the same clips; one that cannot be computed says why, and the rest go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from data_modules.common.errors import UserError
from vdsm_glass.metrics.protocol import NotComputed, Protocol, Result
from vdsm_glass.metrics.registry import METRICS, MetricKind, check_names


@dataclass
class Running:
    """A metric in use: how it is fed and for how long it has worked."""

    kind: MetricKind
    metric: Metric
    seconds: float = 0.0


class Suite:
    """Metrics by the name of their numbers.

    Args:
        metrics: names of `METRICS`.
        paired: whether a generated clip has a real one that it should equal; without, only distributions are compared.
        frames: of a clip, as scored.
        weights: files of weights by metric; the cache has them by default.
        stand_ins: random weights where a metric has weights; its number then has another name.
        prefix: of all names.
    Raises: UserError, a metric that there is none of.
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
                self.running[shown] = Running(kind, metric.to(device))

    def update(self, generated: Tensor | None, reference: Tensor | None) -> None:
        """Adds clips, (b, t, 3, h, w) in [0, 1].

        Args: either side may be None where only distributions are compared.
        """
        for name, running in list(self.running.items()):
            began = time.perf_counter()
            try:
                feed(running, generated, reference)
            except UserError as error:
                self.give_up(name, error)
            running.seconds += time.perf_counter() - began

    def compute(self, protocol: Protocol) -> tuple[list[Result], list[NotComputed]]:
        """The numbers of all processes together, and what could not be had; to be called by each process."""
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
            with_what = getattr(running.metric, "protocol", {})
            said = name.replace(running.kind.name, running.kind.sized(protocol), 1)
            for part, value, per_position in numbers(found):
                if not isfinite(value):
                    self.not_computed.append(NotComputed(said, unfinished(value)))
                    continue
                results.append(
                    Result(
                        name=f"{said}/{part}" if part else said,
                        value=value,
                        protocol=protocol,
                        network=with_what.get("network"),
                        checksum=with_what.get("checksum"),
                        seconds=round(seconds, 3),
                        per_position=per_position,
                    )
                )
        return results, list(self.not_computed)

    def agree(self) -> None:
        """Gives up what any process has given up: the others would wait for it for ever."""
        if not distributed.is_available() or not distributed.is_initialized():
            return
        everywhere: list[list[NotComputed]] = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(everywhere, self.not_computed)
        for rank, gaps in enumerate(everywhere):
            for gap in gaps:
                if gap.name in self.running:
                    self.give_up(gap.name, UserError(f"process {rank}: {gap.reason}"))

    def give_up(self, name: str, error: UserError) -> None:
        """Goes on without a metric."""
        del self.running[name]
        self.not_computed.append(NotComputed(name, str(error)))


def unfinished(value: float) -> str:
    """Why a number is none."""
    known = {inf: "some generated frames equal the real ones"}
    return f"is {value}: {known.get(value, 'the generated frames, or their features, are not finite')}"


def feed(running: Running, generated: Tensor | None, reference: Tensor | None) -> None:
    """Shows clips to a metric as its kind wants them.  Raises: UserError, clips that it cannot score."""
    if running.kind.kind == "distribution":
        for video, real in ((reference, True), (generated, False)):
            if video is not None:
                running.metric.update(video, real=real)
    elif generated is not None and reference is not None:
        running.metric.update(generated, reference)


def numbers(found: Tensor | Mapping[str, Tensor]) -> list[tuple[str, float, tuple[float, ...] | None]]:
    """What `compute` gave: the name of each part, its value, and that of every position."""
    if isinstance(found, Tensor):
        return [("", float(found), None)]
    if "per_position" in found:
        # torchmetrics makes a scalar of the only position of clips of one frame.
        return [("", float(found["mean"]), tuple(found["per_position"].reshape(-1).tolist()))]
    return [(name, float(value), None) for name, value in found.items()]

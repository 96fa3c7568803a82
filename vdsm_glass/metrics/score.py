"""Scores of generated videos against real ones, both from files, whatever made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_modules.common.executors import mapped
from data_modules.tools.video_sets import Form, VideoSet, open_set, pair
from vdsm_glass.metrics.registry import DEFAULT_METRICS, METRICS
from vdsm_glass.metrics.results import NotComputed, Protocol, Result
from vdsm_glass.metrics.suite import Suite, SuiteState

Part = tuple[Sequence[int], Sequence[int]]
"""Numbers of generated and of real clips that are read together; one side may be empty."""
TOGETHER = 4
"""How many parts are one call of another process."""


def score(
    real: VideoSet,
    generated: VideoSet,
    form: Form,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    weights: Mapping[str, Path] | None = None,
    stand_ins: bool = False,
    batch: int = 8,
    workers: int | None = None,
    cluster: str | None = None,
    on_clips: Callable[[int], object] = lambda _: None,
) -> tuple[list[Result], list[NotComputed]]:
    """The results, and what could not be computed, as `Suite.compute` gives them.

    Clips pair by name (`pair`); if they do not, only distributions are compared. At most `batch` clips of each side are
    in memory of a process. A GPU is used if there is one. Other processes change results by rounding alone.

    Args:
        metrics, weights, stand_ins: as for `Suite`.
        workers, cluster: as `mapped`, which then reads and measures; without both, this process does.
        on_clips: gets the number of clips after each batch, or that of several.
    Raises: UserError, an unknown metric, or a clip that is damaged or of another form; and as `mapped`.
    """
    numbers, unpaired = pair(real, generated)
    # Where other processes measure, this one must not touch the GPU before it forks.
    here = workers is None and cluster is None
    options = {"metrics": metrics, "paired": not unpaired, "frames": form.frames}
    options |= {"weights": weights, "stand_ins": stand_ins}
    suite = Suite(**options, device=device() if here else "cpu")
    if unpaired:
        kinds = (METRICS[name] for name in metrics)
        suite.not_computed += [
            NotComputed(kind.reported(stand_ins), unpaired) for kind in kinds if kind.kind != "distribution"
        ]
    parts = parts_of(real, generated, numbers=numbers, size=batch) if suite.running else []
    if here:
        for part in parts:
            update(suite, part, real, generated, form)
            on_clips(sum(map(len, part)))
    else:
        groups = [parts[start : start + TOGETHER] for start in range(0, len(parts), TOGETHER)]
        sides = ((real.folder.absolute(), real.split), (generated.folder.absolute(), generated.split))
        measured = mapped(partial(measure, sides, form, options), groups, workers=workers, cluster=cluster)
        for group, state in zip(groups, measured, strict=True):
            suite.merge(state)
            on_clips(sum(len(side) for part in group for side in part))
    name = generated.folder.resolve().name
    protocol = Protocol(
        split=real.split or generated.split,
        clips=len(real),
        frames=form.frames,
        height=form.height,
        width=form.width,
        # `clips` counts the real side.
        generated_by=name if len(real) == len(generated) else f"{name}, {len(generated)} clips",
    )
    return suite.compute(protocol)


def device() -> torch.device:
    """Where metrics are computed."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parts_of(real: VideoSet, generated: VideoSet, *, numbers: Sequence[int], size: int) -> list[Part]:
    """All clips, at most `size` of each side together.

    Args: numbers, of the generated clip for every real one; if they are empty, the real side comes first and then the
        generated one.
    """

    def cut(clips: Sequence[int]) -> list[Sequence[int]]:
        return [clips[start : start + size] for start in range(0, len(clips), size)]

    if numbers:
        return list(zip(cut(numbers), cut(range(len(real))), strict=True))
    return [*(((), part) for part in cut(range(len(real)))), *((part, ()) for part in cut(range(len(generated))))]


def update(suite: Suite, part: Part, real: VideoSet, generated: VideoSet, form: Form) -> None:
    """Reads the clips of a part and gives them to the metrics.  Raises: UserError, as `VideoSet.read`."""
    sides: list[Tensor | None] = [
        torch.stack([side.read(number, form) for number in numbers]).to(suite.device) if numbers else None
        for side, numbers in zip((generated, real), part, strict=True)
    ]
    suite.update(*sides)


def measure(
    folders: tuple[tuple[Path, str], tuple[Path, str]], form: Form, options: Mapping[str, Any], parts: Sequence[Part]
) -> SuiteState:
    """What metrics that see only `parts` hold; runs in another process.

    Args: folders, with their splits, of the real and of the generated clips; options, of `Suite`.
    Raises: as `update`.
    """
    real, generated = (_opened(*folder) for folder in folders)
    suite = Suite(**options, device=device())
    for part in parts:
        update(suite, part, real, generated, form)
    return suite.state()


_opened = lru_cache(maxsize=4)(open_set)

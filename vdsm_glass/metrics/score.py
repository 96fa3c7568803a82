"""Scores of generated videos against real ones, both from files, whatever made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from data_modules.tools.video_sets import Form, VideoSet, pair
from vdsm_glass.metrics.registry import DEFAULT_METRICS, METRICS
from vdsm_glass.metrics.results import NotComputed, Protocol, Result
from vdsm_glass.metrics.suite import Suite


def score(
    real: VideoSet,
    generated: VideoSet,
    form: Form,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    weights: Mapping[str, Path] | None = None,
    stand_ins: bool = False,
    batch: int = 8,
    on_clips: Callable[[int], object] = lambda _: None,
) -> tuple[list[Result], list[NotComputed]]:
    """The results, and what could not be computed, as `Suite.compute` gives them.

    Clips pair by name (`pair`); if they do not, only distributions are compared. At most `batch` clips of each side are
    in memory. A GPU is used if there is one.

    Args: metrics, weights, stand_ins as for `Suite`; on_clips gets the number of clips after each batch.
    Raises: UserError, an unknown metric, or a clip that is damaged or of another form.
    """
    numbers, unpaired = pair(real, generated)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    suite = Suite(metrics, paired=not unpaired, frames=form.frames, weights=weights, stand_ins=stand_ins, device=device)
    if unpaired:
        kinds = (METRICS[name] for name in metrics)
        suite.not_computed += [
            NotComputed(kind.reported(stand_ins), unpaired) for kind in kinds if kind.kind != "distribution"
        ]
    for video, reference in batches(real, generated, form, numbers=numbers, size=batch) if suite.running else ():
        sides = [None if side is None else side.to(device) for side in (video, reference)]
        suite.update(*sides)
        on_clips(sum(len(side) for side in sides if side is not None))
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


def batches(
    real: VideoSet, generated: VideoSet, form: Form, *, numbers: Sequence[int], size: int
) -> Iterator[tuple[Tensor | None, Tensor | None]]:
    """Generated and real clips, (b, t, 3, h, w) in [0, 1] each, `size` at a time.

    Args: numbers, of the generated clip for every real one; if they are empty, the real side comes first and then the
    generated one.
    Raises: UserError, as `VideoSet.read`.
    """
    if numbers:
        sides = (read(generated, numbers, form, size), read(real, range(len(real)), form, size))
        yield from zip(*sides, strict=True)
    else:
        yield from ((None, video) for video in read(real, range(len(real)), form, size))
        yield from ((video, None) for video in read(generated, range(len(generated)), form, size))


def read(side: VideoSet, numbers: Sequence[int], form: Form, size: int) -> Iterator[Tensor]:
    """Clips (b, t, 3, h, w) by their numbers, `size` at a time.  Raises: UserError, as `VideoSet.read`."""
    for start in range(0, len(numbers), size):
        yield torch.stack([side.read(number, form) for number in numbers[start : start + size]])

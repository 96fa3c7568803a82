"""What each verb of `vdsm-glass generate` shows, and beside what."""

# ruff: noqa: ARG001  (all are called alike)
from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vdsm_glass.generate.vocabulary import DENSITIES, LONG, STEPS, Model
from vdsm_glass.pictures import with_margins

Steps = Callable[[Sequence[Any]], Iterable[Any]]
"""Iterates over a sequence and shows the progress."""


@dataclass(frozen=True)
class Made:
    """What a verb has made.

    Args:
        cells: (r, k, t, 3, h, w) in [0, 1], to look at: what was made beside what it was made of.
        result: (..., t, 3, h, w), what was made alone.
        arrays: what else an .npz holds.
        remarks: lines for the terminal.
    """

    cells: Tensor
    result: Tensor
    arrays: dict[str, Tensor] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def even(videos: Iterable[Tensor]) -> Tensor:
    """Videos (t, 3, h, w) side by side: the shorter ones stay at their last frame.  Returns: (n, t, 3, h, w)."""
    videos = list(videos)
    longest = max(len(video) for video in videos)
    return torch.stack([torch.cat([video, video[-1:].repeat(longest - len(video), 1, 1, 1)]) for video in videos])


def alike(videos: Iterable[Tensor]) -> Tensor:
    """Videos of one size, cut to the shortest.  Returns: (n, t, 3, h, w)."""
    videos = list(videos)
    shortest = min(len(video) for video in videos)
    return torch.stack([video[:shortest] for video in videos])


def reconstruct(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    made = even(model.reconstruct(video) for video in steps(videos))
    return Made(torch.stack([even(videos), made]), made)


def transfer(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    source, targets = videos[0], videos[1:]
    made = even(model.transfer(source, target, steps=options.steps) for target in steps(targets))
    page = even([source, *targets, *made])
    shown, made_page = page[: len(videos)], page[len(videos) :]
    return Made(torch.stack([shown, torch.cat([torch.ones_like(page[:1]), made_page])]), made)


def swap(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    motions = alike(videos)
    made = torch.cat([model.swap(motions, who[None]) for who in steps(list(motions))])
    return Made(with_margins(made, rows=motions, columns=motions), made)


def rollout(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    length = options.steps or LONG
    seed = options.seed if options.dynamics == "prior" else None
    made = torch.stack(
        [model.rollout(video, steps=length, dynamics=options.dynamics, seed=seed) for video in steps(videos)]
    )
    page = even([*videos, *made])
    return Made(torch.stack([page[: len(videos)], page[len(videos) :]]), made)


def interpolate(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    made = model.interpolate(videos[0], videos[1], count=options.count, of=options.of)
    return Made(even([videos[0], *made, videos[1]])[None], made)


def sample(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    density = options.density or model.densities[0]
    made = model.sample(options.count, steps=options.steps or 16, seed=options.seed, density=density)
    other = next((f"; --from {name}: {DENSITIES[name]}" for name in model.densities if name != density), "")
    print(f"vdsm-glass: drawn from {DENSITIES[density]}{other}", file=sys.stderr)
    return Made(made[None], made)


def actions(model: Model, videos: list[Tensor], options: Namespace, steps: Steps) -> Made:
    length = options.steps or STEPS
    made = torch.cat(
        [model.action_matrix(video, of=options.kind, steps=length, pixels=options.pixels) for video in steps(videos)]
    )
    if min(len(video) for video in videos) < 2:
        return Made(made, made)
    found = [model.actions(video) for video in videos]
    arrays = {f"{name}_{i}": value for i, each in enumerate(found) for name, value in vars(each).items()}
    lines = [
        f"video {i}: local actions, counted from 0: {' '.join(map(str, a.local_action.tolist()))}"
        for i, a in enumerate(found)
    ]
    return Made(made, made, arrays, lines)


MAKE: dict[str, Callable[[Model, list[Tensor], Namespace, Steps], Made]] = {
    verb.__name__: verb for verb in (reconstruct, transfer, swap, rollout, interpolate, sample, actions)
}

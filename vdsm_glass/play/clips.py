"""The test clips that a model is played with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from vdsm_glass.generate.vocabulary import Model


@dataclass(frozen=True)
class NamedClip:
    """A clip of the test split.  Args: video (t, 3, h, w) in [0, 1]; identity and action, what to call them."""

    video: Tensor
    identity: str
    action: str


Data = VideoDataModule | Sequence[NamedClip]
"""Where clips come from: a dataset, or a few that are there."""


def clips_to_play(model: Model, data: Data | None, *, by: str, most: int) -> list[NamedClip]:
    """Clips of the test split at the model's size, each of another identity or action; builds the store if need be.

    Args: data, or the clips themselves; by, `identity` or `action`; most, how many.
    Raises: UserError, there is no data; DataError, its clips cannot be had.
    """
    if data is None:
        raise UserError(
            f"{model.title} is played with clips, and this model lies in no run that names its data; add --data NAME, "
            "and that dataset's own options behind it"
        )
    if not isinstance(data, VideoDataModule):
        called = [getattr(clip, by) for clip in data]
        labels = np.asarray([called.index(name) for name in called])
        return [replace(data[i], video=model.read(data[i].video)) for i in different(labels, most)]
    data.prepare_data()
    dataset = data.evaluation_dataset("test")
    positions = different(labels_of(dataset.split, by)[dataset.usable], most)
    batch = dataset[positions].decoded()
    return [
        NamedClip(
            video=model.read(batch.video[i]),
            identity=_name(data.identity_names, int(batch.identity[i]), f"clip {int(batch.clip[i])}"),
            action=_name(data.action_names, int(batch.action[i].reshape(-1)[0]), f"clip {int(batch.clip[i])}"),
        )
        for i in range(len(batch))
    ]


def labels_of(split: Any, by: str) -> np.ndarray:
    """One label a clip; of labels per frame, the first."""
    values = np.asarray(split.array(by))
    return values[split.first_rows] if split.columns[by].per == "frame" else values


def different(labels: np.ndarray, most: int) -> list[int]:
    """Positions of up to `most` different labels, from all of their range; unknown labels (-1) all differ."""
    known = np.where(labels < 0, np.arange(len(labels)) + labels.max(initial=0) + 1, labels)
    firsts = np.unique(known, return_index=True)[1]
    chosen = np.linspace(0, len(firsts) - 1, num=min(most, len(firsts))).round().astype(int)
    return [int(position) for position in firsts[chosen]]


def _name(names: list[str], label: int, otherwise: str) -> str:
    return names[label] if 0 <= label < len(names) else otherwise

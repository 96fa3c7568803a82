"""Sharing out videos over the splits: by seed, by the folders that they are in, or in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from data_modules.common.errors import DataError
from data_modules.store.format import SPLITS, Split

T = TypeVar("T")

FOLDERS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What people call the splits' folders."""


def sizes(number: int, parts: Sequence[float]) -> tuple[int, int, int]:
    """How many of `number` items are for train, val and test, in the ratio of `parts`; at least one for a part above 0.

    Where there are too few items, train is below 1.
    """
    val, test = (max(1, round(number * part / sum(parts))) if part else 0 for part in parts[1:])
    return number - val - test, val, test


def seeded(items: Sequence[T], parts: Sequence[float], seed: int, what: str) -> dict[Split, list[T]]:
    """`items` shared out at random in the ratio of `parts`, at least one for each part above 0, their order kept.

    Args: parts: of train, val and test; what: the items are called, for messages.
    Raises: DataError where there are fewer items than parts above 0.
    """
    order = np.random.default_rng(seed).permutation(len(items))
    train, val, test = sizes(len(items), parts)
    if train < 1:
        raise DataError(f"{len(items)} {what} are too few to split into train, val and test. Add some.")
    chosen = dict(zip(("test", "val", "train"), np.split(order, [test, test + val]), strict=True))
    return {split: [items[index] for index in np.sort(chosen[split]).tolist()] for split in SPLITS}


def in_time(frames: int, parts: Sequence[float], gap: int) -> dict[Split, range] | None:
    """Train, val and test as consecutive frames of one recording, with `gap` frames between two of them.

    Each split has `gap` frames and its share of the rest, in the ratio of `parts`. So if `gap` is at least one clip's
    length, each holds a clip, and no frame of one is within a clip's length of another.

    Returns: None where the recording has fewer than `least_in_time(gap)` frames.
    """
    rest = frames - least_in_time(gap)
    if rest < 0:
        return None
    val, test = (gap + int(rest * part / sum(parts)) for part in parts[1:])
    train = frames - 2 * gap - val - test
    return {"train": range(train), "val": range(train + gap, train + gap + val), "test": range(frames - test, frames)}


def least_in_time(gap: int) -> int:
    """Frames that `in_time` needs: for three splits and two gaps."""
    return 5 * gap


def by_folder(names: Sequence[str], items: Sequence[T]) -> dict[Split, list[T]]:
    """`items` by the first folder of their `names`, where it is called after a split; the others are left out."""
    shares: dict[Split, list[T]] = {split: [] for split in SPLITS}
    for name, item in zip(names, items, strict=True):
        first = name.partition("/")[0].lower()
        if first in FOLDERS:
            shares[FOLDERS[first]].append(item)
    return shares


def with_validation(shares: Mapping[Split, list[T]], part: float, seed: int, what: str) -> dict[Split, list[T]]:
    """`shares`, with `part` of the training items for validation where there are none yet."""
    if shares["val"]:
        return dict(shares)
    return {**seeded(shares["train"], (1 - part, part, 0), seed, what), "test": shares["test"]}

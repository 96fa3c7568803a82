"""Sharing out videos over the splits, by seed or by the folders that they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from data_modules.common.errors import DataError
from data_modules.store.reader import SPLITS, Split

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


def seeded(items: Sequence[T], parts: Sequence[float], seed: int, what: str) -> dict[Split, list[T]]:
    """`items` shared out at random in the ratio of `parts`, at least one each, their order kept.

    Args: parts: of train, val and test; what: the items are called, for messages.
    Raises: DataError where there are fewer items than parts above 0.
    """
    order = np.random.default_rng(seed).permutation(len(items))
    shares = {
        split: max(1, round(len(items) * part / sum(parts))) if part else 0
        for split, part in zip(SPLITS, parts, strict=True)
    }
    shares["train"] = len(items) - shares["val"] - shares["test"]
    if shares["train"] < 1:
        raise DataError(f"{len(items)} {what} are too few to split into train, val and test. Add some.")
    ends = np.cumsum([shares[split] for split in ("test", "val", "train")])
    starts = ends - [shares[split] for split in ("test", "val", "train")]
    return {
        split: [items[index] for index in np.sort(order[start:end]).tolist()]
        for split, start, end in zip(("test", "val", "train"), starts, ends, strict=True)
    }


def by_folder(names: Sequence[str], items: Sequence[T]) -> dict[Split, list[T]]:
    """`items` by the first folder of their `names`, where that is called after a split; the others are left out."""
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

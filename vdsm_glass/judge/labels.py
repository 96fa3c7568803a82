"""The labels of a clip that a judge can learn: its static factors and its action."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset

log = logging.getLogger(__name__)

UNKNOWN = -1
ACTION = "action"

Classes = dict[str, tuple[int, ...]]


def clip_labels(data: VideoDataModule, identity: np.ndarray, action: np.ndarray) -> dict[str, np.ndarray]:
    """Labels of whole clips, (n,) by name: the static factors of the dataset, then `action`.

    -1 is unknown; an action that changes within a clip counts as unknown.

    Args: identity (n,); action (n,) or (n, t).
    """
    known = identity >= 0
    factors = data.attributes(np.where(known, identity, 0))
    if action.ndim == 2:
        action = np.where((action == action[:, :1]).all(axis=1), action[:, 0], UNKNOWN)
    return {name: np.where(known, values, UNKNOWN) for name, values in factors.items()} | {ACTION: action}


def split_labels(data: VideoDataModule, dataset: ClipDataset) -> dict[str, np.ndarray]:
    """`clip_labels` of the clips of a dataset, each from its first frame; reads no pictures."""
    split = dataset.split
    action = np.asarray(split.array("action"))
    if split.columns["action"].per == "frame":
        windows = [split.window("action", clip, 0, dataset.length, dataset.stride) for clip in dataset.usable.tolist()]
        action = np.stack(windows)
    else:
        action = action[dataset.usable]
    return clip_labels(data, np.asarray(split.array("identity"))[dataset.usable], action)


def judgeable(data: VideoDataModule) -> Classes:
    """The labels of training clips that a judge can learn, ascending, by name.

    A name is left out, with a warning, if it has only one label, or none that also occurs in validation and test, as
    identities do not if each is in one split only.

    Raises: UserError, nothing is left.
    """
    train = split_labels(data, data.training_dataset())
    others = [split_labels(data, data.evaluation_dataset(split)) for split in ("val", "test")]
    classes: Classes = {}
    for name, labels in train.items():
        found = np.unique(labels[labels >= 0])
        if len(found) > 1 and all(np.isin(part[name], found).any() for part in others):
            classes[name] = tuple(found.tolist())
        else:
            log.warning("%s: %s is not judged: too few labels are shared by all splits.", data.name, name)
    if not classes:
        raise UserError(
            f"{data.name}: there is nothing to judge: no label is known of clips in all three splits; take a dataset "
            "with labels, such as sprites, mmnist, mug or pendulum"
        )
    return classes


def targets(labels: Mapping[str, np.ndarray], classes: Classes) -> dict[str, np.ndarray]:
    """Positions in `classes`, (n,) int64 by name; -1 for labels that are not among them.

    >>> targets({"action": np.array([7, 2, 5, -1])}, {"action": (2, 7)})["action"]
    array([ 1,  0, -1, -1])
    """
    found = {}
    for name, known in classes.items():
        place = np.searchsorted(known, labels[name]).clip(max=len(known) - 1)
        found[name] = np.where(np.asarray(known)[place] == labels[name], place, UNKNOWN)
    return found

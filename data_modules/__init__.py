"""Datasets, and the way from their files to batches of clips and labels; knows nothing of models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_modules.bair import BAIR
    from data_modules.base import VideoDataModule
    from data_modules.batch import VideoBatch
    from data_modules.common.errors import DataError, UserError
    from data_modules.folder import VideoFolder
    from data_modules.moving_mnist import MovingMNIST
    from data_modules.mug import MUG
    from data_modules.pendulum import Pendulum
    from data_modules.sprites import Sprites
    from data_modules.store.clip_source import Clip
    from data_modules.tennis import Tennis
    from data_modules.w_sprites import WSprites

__all__ = [
    "BAIR",
    "DATASETS",
    "MUG",
    "Clip",
    "DataError",
    "MovingMNIST",
    "Pendulum",
    "Sprites",
    "Tennis",
    "UserError",
    "VideoBatch",
    "VideoDataModule",
    "VideoFolder",
    "WSprites",
]

DATASETS: dict[str, str] = {
    "pendulum": "data_modules.pendulum.Pendulum",
    "mmnist": "data_modules.moving_mnist.MovingMNIST",
    "sprites": "data_modules.sprites.Sprites",
    "mug": "data_modules.mug.MUG",
    "w_sprites": "data_modules.w_sprites.WSprites",
    "tennis": "data_modules.tennis.Tennis",
    "bair": "data_modules.bair.BAIR",
    "folder": "data_modules.folder.VideoFolder",
}
"""Where each dataset is, by what `vdsm-glass prepare` and `show` call it."""

_HOMES = {path.rpartition(".")[2]: path.rpartition(".")[0] for path in DATASETS.values()} | {
    "VideoDataModule": "data_modules.base",
    "VideoBatch": "data_modules.batch",
    "Clip": "data_modules.store.clip_source",
    "DataError": "data_modules.common.errors",
    "UserError": "data_modules.common.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `vdsm-glass --help` does not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

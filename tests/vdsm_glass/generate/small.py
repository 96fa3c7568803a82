"""Trained models to ask for things, small enough for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.vdsm_glass.play.small import glass_checkpoint, vdsm_checkpoint

KINDS = ("vdsm", "vdsm_frames", "glass")


def checkpoint(kind: str, folder: Path) -> Path:
    """A run's checkpoint of one of the `KINDS`."""
    if kind == "glass":
        return glass_checkpoint(folder)
    return vdsm_checkpoint(folder, stage=2 if kind == "vdsm" else 1)


def clips(kind: str, *, b: int = 2, t: int = 5, seed: int = 1) -> Tensor:
    """Videos (b, t, 3, h, w) of the size that the model of that kind takes."""
    height, width = (32, 48) if kind == "glass" else (16, 16)
    return torch.rand(b, t, 3, height, width, generator=torch.Generator().manual_seed(seed))

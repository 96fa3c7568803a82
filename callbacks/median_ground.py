"""The ground of a fixed camera, from the training clips, from which masks and shifts of GLASS may start."""

from __future__ import annotations

import numpy as np
from einops import rearrange
from lightning.pytorch import Callback, Trainer

from data_modules.store.reader import StoreSplit
from vdsm_glass.glass.difference import Ground
from vdsm_glass.glass.module import GLASSModule

MOST_FRAMES = 200


class MedianGround(Callback):
    """Gives GLASS the median pictures that `weights.difference` and `weights.ground` need.

    Args:
        threshold: levels of 255 above which a pixel differs from the ground.
        one_ground: all clips have one ground; else each has its own.
    """

    def __init__(self, threshold: float = 20.0, one_ground: bool = True) -> None:
        self.threshold, self.one_ground = threshold, one_ground

    def on_fit_start(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        clips: StoreSplit = trainer.datamodule.store.split("train")  # pyright: ignore[reportAttributeAccessIssue]
        pl_module.ground = Ground(grounds(clips, one=self.one_ground), threshold=self.threshold, theta=pl_module.theta)


def grounds(clips: StoreSplit, *, one: bool) -> np.ndarray:
    """(clips, h, w, 3) uint8, the median picture of each clip, or (1, h, w, 3), that of all.

    Args: clips, of a store; at most `MOST_FRAMES` frames are looked at for a picture.
    """
    video, total = clips.array("video"), int(clips.lengths.sum())
    ranges = (
        [(0, total)] if one else [(int(n), int(n + k)) for n, k in zip(clips.first_rows, clips.lengths, strict=True)]
    )
    pictures = []
    for first, stop in ranges:
        chosen = np.unique(np.linspace(first, stop - 1, min(MOST_FRAMES, stop - first)).round().astype(int))
        pictures.append(np.median(video[chosen], axis=0).astype(np.uint8))
    return rearrange(np.stack(pictures), "n c h w -> n h w c")

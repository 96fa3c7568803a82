"""Disentanglement of a trained VDSM, measured at the end of a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from callbacks.drawing import spread, upload
from callbacks.results import Scoring, named, protocol
from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.store.format import Split
from vdsm_glass.metrics.disentanglement import Labelled, LeakMatrix, score
from vdsm_glass.report.leaks import draw_leaks
from vdsm_glass.vdsm.frames import Latents
from vdsm_glass.vdsm.module import VDSMModule


class Disentanglement(Scoring):
    """Probes s and d for identity and action, records the numbers, draws the leak matrix.

    Probes are fitted on the training split's clips and read on the test split's, each from its first frame. Every
    process computes the same, the first one writes.

    Args:
        clips: at most so many of each split, evenly spread.
        batch_size: clips encoded at once.
    """

    def __init__(self, clips: int = 2000, batch_size: int = 32) -> None:
        self.clips = clips
        self.batch_size = batch_size

    def on_test_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        train, test = (self.encode(pl_module, data, split) for split in ("train", "test"))
        known = min(int(part.action.min()) for part in (train, test)) >= 0
        known &= min(int(labels.min()) for part in (train, test) for labels in part.factors.values()) >= 0
        results = score(pl_module.net, train, test) if known else {}
        self.draw(results, trainer)
        self.record(trainer, named(results, protocol(trainer, clips=len(test.action))))

    @rank_zero_only
    def draw(self, results: dict[str, float], trainer: Trainer) -> None:
        """Writes `<run>/pictures/leaks.png`, where identity and action are both known, and sends it to W&B."""
        matrix = LeakMatrix.of(results)
        if matrix is None:
            return
        path = draw_leaks(matrix, Path(trainer.default_root_dir) / "pictures" / "leaks.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                upload(logger, [path], prefix="test")

    @torch.no_grad()
    def encode(self, pl_module: VDSMModule, data: VideoDataModule, split: Split) -> Labelled:
        """Latents and labels of (some of) the split's clips; an action that changes within a clip is its first."""
        dataset = data.evaluation_dataset(split)
        chosen = spread(np.arange(len(dataset)), self.clips).tolist()
        latents: list[Latents] = []
        labels: list[tuple[np.ndarray, np.ndarray]] = []
        for first in range(0, len(chosen), self.batch_size):
            batch: VideoBatch = dataset[chosen[first : first + self.batch_size]].to(pl_module.device).decoded()
            latents.append(pl_module.predict_step(batch))
            action = batch.action if batch.action.ndim == 1 else batch.action[:, 0]
            labels.append((batch.identity.numpy(force=True), action.numpy(force=True)))
        identity, action = (np.concatenate(column) for column in zip(*labels, strict=True))
        return Labelled(latents=Latents.concatenate(latents), factors=data.attributes(identity), action=action)

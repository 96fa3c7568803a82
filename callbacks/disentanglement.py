"""Disentanglement of a trained VDSM, measured at the end of a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer

from callbacks.drawing import spread, upload
from callbacks.results import Scoring, named, protocol
from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.store.format import Split
from vdsm_glass.metrics.disentanglement import ON_VAL, Labelled, LeakMatrix, leaks, score
from vdsm_glass.report.leaks import draw_leaks
from vdsm_glass.vdsm.frames import Latents
from vdsm_glass.vdsm.module import VDSMModule


class Disentanglement(Scoring):
    """Probes s and d for identity and action, records the numbers, draws the leak matrix in `pictures/leaks.png`.

    Probes are fitted on the training split's clips and read on the test split's, each from its first frame; for leaks,
    and thus for the matrix, also on the validation split's, see `vdsm_glass.metrics.disentanglement.leaks`. Every
    process computes the same; the first one writes. Only where identity and action are both known is anything measured.

    A training split of few clips is filled up with other windows of them: 288 pendula gave probes that found the action
    in d in 0.84 of test clips where those of 1 440 found it in every one.

    Args:
        clips: the largest number of clips of each split, evenly spread, and the number of windows of training clips.
        batch_size: the number of clips encoded at once.
    """

    def __init__(self, clips: int = 2000, batch_size: int = 32) -> None:
        self.clips, self.batch_size = clips, batch_size

    def on_test_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        parts = train, test, val = [self.encode(pl_module, data, split) for split in ("train", "test", "val")]
        known = min(int(labels.min()) for part in parts for labels in part.labels.values()) >= 0
        results = score(pl_module.net, train, test) if known else {}
        leaked = leaks(train, val) if known else {}
        matrix = LeakMatrix.of(leaked, suffix=ON_VAL)
        if matrix is not None and trainer.is_global_zero:
            path = draw_leaks(matrix, Path(trainer.default_root_dir) / "pictures" / "leaks.png")
            upload(trainer, [path], prefix="test")
        on = protocol(trainer, clips=len(test.action))
        found = named(results, on) + named(leaked, replace(on, split="val", clips=len(val.action)))
        self.record(trainer, found)

    @torch.no_grad()
    def encode(self, pl_module: VDSMModule, data: VideoDataModule, split: Split) -> Labelled:
        """The latents and labels of the split's clips; of an action that changes within a clip, the first one."""
        dataset = data.evaluation_dataset(split)
        chosen = spread(np.arange(len(dataset)), self.clips).tolist()
        if split == "train" and not dataset.whole:
            chosen += [(number % len(dataset), number) for number in range(len(dataset), self.clips)]
        latents: list[Latents] = []
        labels: list[tuple[np.ndarray, np.ndarray]] = []
        for first in range(0, len(chosen), self.batch_size):
            batch: VideoBatch = dataset[chosen[first : first + self.batch_size]].to(pl_module.device).decoded()
            latents.append(pl_module.predict_step(batch))
            action = batch.action if batch.action.ndim == 1 else batch.action[:, 0]
            labels.append((batch.identity.numpy(force=True), action.numpy(force=True)))
        identity, action = (np.concatenate(column) for column in zip(*labels, strict=True))
        return Labelled(latents=Latents.concatenate(latents), factors=data.attributes(identity), action=action)

"""Pictures drawn during training: when they are drawn, of which clips, and where they go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.loading.clips import ClipDataset
from data_modules.store.format import Split
from vdsm_glass.pictures import enlarge
from vdsm_glass.registry import model_of

SMALLEST_CELL = 64


class Drawing(Callback, ABC):
    """Draws validation clips after a validation and at the end of training, and test clips at the end of a test.

    The pictures replace those in `<run>/pictures/`, and are sent to W&B. A subclass draws them (`draw`).

    Args:
        every_n_epochs: the fewest epochs between two drawings; 0 draws at the end only.
        fps: frames per second of the moving pictures.
    """

    def __init__(self, every_n_epochs: int, fps: float) -> None:
        self.every_n_epochs = every_n_epochs
        self.fps = fps
        self._drawn_at = 0

    @abstractmethod
    def draw(self, model: Any, dataset: ClipDataset, folder: Path) -> list[Path]:
        """Writes all pictures of a `vdsm_glass.generate.vocabulary.Model`, and returns their files."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = self.every_n_epochs and trainer.current_epoch + 1 - self._drawn_at >= self.every_n_epochs
        if due and not trainer.sanity_checking:
            self._drawn_at = trainer.current_epoch + 1
            self.draw_split(trainer, pl_module, split="val")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.eval()
        self.draw_split(trainer, pl_module, split="val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.draw_split(trainer, pl_module, split="test")

    @torch.no_grad()
    def draw_split(self, trainer: Trainer, pl_module: LightningModule, *, split: Split) -> None:
        """Draws everything from `split`, in the first process only."""
        if not trainer.is_global_zero:
            return
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        folder = Path(trainer.default_root_dir) / "pictures"
        upload(trainer, self.draw(model_of(pl_module), data.evaluation_dataset(split), folder), prefix=split)


def clips_of_each_label(dataset: ClipDataset, label: str, count: int) -> list[int]:
    """Positions of at most `count` clips, first of all one of each label."""
    values = np.asarray(dataset.split.array(label))
    values = values[dataset.usable] if len(values) == len(dataset.split) else np.zeros(len(dataset), np.int64)
    _, first = np.unique(values, return_index=True)
    others = np.setdiff1d(np.arange(len(dataset)), first)
    order = np.concatenate([spread(first, count), spread(others, count)])
    return order[:count].tolist()


def spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `values`, evenly spaced."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]


def scaled(frames: Tensor) -> Tensor:
    """Frames enlarged to a side of at least SMALLEST_CELL."""
    return enlarge(frames, at_least=SMALLEST_CELL)


def upload(trainer: Trainer, files: list[Path], *, prefix: str) -> None:
    """Logs pictures and moving pictures under `<prefix>/<name>` to W&B, if the run logs there."""
    for logger in (logger for logger in trainer.loggers if isinstance(logger, WandbLogger)):
        for file in files:
            if file.suffix == ".png":
                logger.log_image(key=f"{prefix}/{file.stem}", images=[str(file)])
            else:
                logger.log_video(key=f"{prefix}/{file.stem}", videos=[str(file)])

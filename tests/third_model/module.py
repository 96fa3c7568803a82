"""How it is trained."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.batch import VideoBatch
from tests.third_model.network import MeanFrame


class MeanFrameModule(LightningModule):
    """Draws clips anew from their own two parts.  Args: start, of the gains."""

    kind = "mean_frame"

    def __init__(self, start: float = 0.5, learning_rate: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters({"kind": self.kind, "start": start})
        self.net, self.learning_rate = MeanFrame(start), learning_rate

    def loss(self, stage: str, batch: VideoBatch) -> Tensor:
        loss = (self.net(batch.video, self.net.identity(batch.video)) - batch.video).square().mean()
        self.log(f"{stage}/loss", loss, batch_size=len(batch))
        return loss

    def training_step(self, batch: VideoBatch) -> Tensor:
        return self.loss("train", batch)

    def validation_step(self, batch: VideoBatch) -> None:
        self.loss("val", batch)

    def test_step(self, batch: VideoBatch) -> None:
        self.loss("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)

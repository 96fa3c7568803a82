"""Training of a judge: cross-entropy of every head on real clips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from vdsm_glass.judge.labels import UNKNOWN, Classes, clip_labels, targets
from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes


class JudgeModule(LightningModule):
    """-Σ_heads log p(y | x), over the clips whose y is known.

    Logs `val/loss`, and `val/F` and `test/F`, the accuracy of the head F.

    Args: sizes; classes, labels by head; data, that knows what labels mean; learning_rate, the highest of one cycle.
    """

    def __init__(self, sizes: JudgeSizes, classes: Classes, data: VideoDataModule, learning_rate: float) -> None:
        super().__init__()
        self.network = JudgeNetwork(sizes, {head: len(labels) for head, labels in classes.items()})
        self.classes = classes
        self.data = data
        self.learning_rate = learning_rate
        self.accuracy = nn.ModuleDict(
            {
                head: MulticlassAccuracy(num_classes=len(labels), average="micro", ignore_index=UNKNOWN)
                for head, labels in classes.items()
            }
        )

    def training_step(self, batch: VideoBatch) -> Tensor:
        terms = cross_entropies(self.network(batch.video), self.targets(batch))
        loss = torch.stack(list(terms.values())).sum()
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: VideoBatch) -> None:
        self.score("val", batch)

    def test_step(self, batch: VideoBatch) -> None:
        self.score("test", batch)

    def score(self, stage: str, batch: VideoBatch) -> None:
        """Logs the loss and every head's accuracy over the split."""
        logits, wanted = self.network(batch.video), self.targets(batch)
        loss = torch.stack(list(cross_entropies(logits, wanted).values())).sum()
        self.log(f"{stage}/loss", loss, batch_size=len(batch), sync_dist=True)
        for head, metric in self.accuracy.items():
            metric(logits[head], wanted[head])
            self.log(f"{stage}/{head}", metric, prog_bar=True, batch_size=len(batch))  # pyright: ignore[reportArgumentType]

    def targets(self, batch: VideoBatch) -> dict[str, Tensor]:
        """(b,) by head."""
        labels = clip_labels(self.data, batch.identity.numpy(force=True), batch.action.numpy(force=True))
        found = targets(labels, self.classes)
        return {head: torch.from_numpy(values).to(batch.video.device) for head, values in found.items()}

    def configure_optimizers(self):
        """Adam, its rate rising and falling once over all steps."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def cross_entropies(logits: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """-log p(y | x) by head, the mean over the clips whose y is known; 0 where no clip's is.

    Args: logits (b, classes) and wanted (b,) by head.
    """
    return {
        head: F.cross_entropy(logits[head], wanted[head], ignore_index=UNKNOWN, reduction="sum")
        / (wanted[head] != UNKNOWN).sum().clamp(min=1)
        for head in logits
    }

"""Training of a judge: cross-entropy of every head on real clips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from vdsm_glass.judge.labels import ACTION, UNKNOWN, Classes, clip_labels, targets
from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes


class JudgeModule(LightningModule):
    """-Σ_heads log p(y | x), over the clips whose y is known.

    Logs `val/loss`, and `val/F` and `test/F`, the accuracy of the head F.

    Args:
        sizes, classes: of the network; labels by head.
        data: knows what labels mean.
        learning_rate: the highest of one cycle.
        recolour: the action is learned from clips in random colours (`recoloured`), all else from clips as they are.
            Who learns both from the same clips may rule an action out because this identity was never seen doing it.
    """

    def __init__(
        self, sizes: JudgeSizes, classes: Classes, data: VideoDataModule, learning_rate: float, recolour: bool = False
    ) -> None:
        super().__init__()
        self.network = JudgeNetwork(sizes, {head: len(labels) for head, labels in classes.items()})
        self.classes = classes
        self.data = data
        self.learning_rate = learning_rate
        self.recolour = recolour
        self.accuracy = nn.ModuleDict(
            {
                head: MulticlassAccuracy(num_classes=len(labels), average="micro", ignore_index=UNKNOWN)
                for head, labels in classes.items()
            }
        )

    def training_step(self, batch: VideoBatch) -> Tensor:
        logits = self.network(batch.video)
        if self.recolour and ACTION in logits:
            logits[ACTION] = self.network(recoloured(batch.video))[ACTION]
        terms = cross_entropies(logits, self.targets(batch))
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


def recoloured(video: Tensor) -> Tensor:
    """Each clip with its channels mixed and dimmed at random, all its frames alike: x_c → g_c Σ_k m_ck x_k.

    g_c ~ U(0.3, 1), and m_c uniform over the mixtures that sum to 1, so that [0, 1] is kept.

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: the same shape and range.
    """
    b = len(video)
    # Normalised exponentials are uniform on the simplex; from the global generator, which Lightning seeds and saves.
    mixture = torch.empty(b, 3, 3, device=video.device).exponential_()
    gain = torch.empty(b, 3, 1, device=video.device).uniform_(0.3, 1)
    return torch.einsum("bck,btkhw->btchw", gain * mixture / mixture.sum(dim=-1, keepdim=True), video)

"""Training of a judge: cross-entropy of every head on real clips."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.checkpoints import read_checkpoint
from vdsm_glass.judge.judge import Judge
from vdsm_glass.judge.labels import ACTION, UNKNOWN, Classes, clip_labels, judgeable, targets
from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes


class JudgeModule(LightningModule):
    """-Σ_heads log p(y | x), over the clips whose y is known.

    Logs `val/loss`, and `val/F` and `test/F`, the accuracy of the head F.

    Args:
        sizes, classes: of the network; labels by head.
        data: the dataset, which names the static factors of an identity.
        learning_rate: the highest of one cycle.
        recolour: the action is learned from clips in random colours (`recoloured`), all else from unchanged clips. A
            judge that learns both from the same clips may rule an action out because it never saw this identity do it.
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
        """The right output, (b,) by head; -1 where unknown."""
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
    """-log p(y | x) by head, the mean over the clips whose y is known; 0 if there are none.

    Args: logits (b, classes) and wanted (b,) by head.
    """
    return {
        head: F.cross_entropy(logits[head], wanted[head], ignore_index=UNKNOWN, reduction="sum")
        / (wanted[head] != UNKNOWN).sum().clamp(min=1)
        for head in logits
    }


def recoloured(video: Tensor) -> Tensor:
    """Each clip with its channels mixed and dimmed at random, the same in all its frames: x_c → g_c Σ_k m_ck x_k.

    g_c ~ U(0.3, 1), and m_c is uniform over the weights that sum to 1, so that values stay in [0, 1].

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: the same shape and range.
    """
    b = len(video)
    # Normalised exponentials are uniform on the simplex. The generator is the global one, which Lightning seeds.
    mixture = torch.empty(b, 3, 3, device=video.device).exponential_()
    gain = torch.empty(b, 3, 1, device=video.device).uniform_(0.3, 1)
    return torch.einsum("bck,btkhw->btchw", gain * mixture / mixture.sum(dim=-1, keepdim=True), video)


def train_judge(
    data: VideoDataModule,
    *,
    sizes: JudgeSizes,
    epochs: int,
    learning_rate: float = 1e-3,
    recolour: bool = False,
    accelerator: str = "auto",
    progress: bool = True,
) -> Judge:
    """The judge with the least validation loss of all epochs, and its accuracy on the test split.

    Args: learning_rate, recolour, see `JudgeModule`; progress, whether to show bars.
    Raises: UserError, the data has no labels to learn, clips of two actions, or frames that are too small.
    """
    if min(data.height, data.width) < sizes.smallest_frame:
        raise UserError(
            f"frames of {data.height}x{data.width} are too small for {len(sizes.channels)} convolutions that halve "
            f"them; give fewer --channels, or a larger --size"
        )
    if data.pair_actions:
        raise UserError("a judge learns from clips of one action, and pair_actions shows two; leave it off")
    data.prepare_data()
    classes = judgeable(data)
    seed_everything(data.seed, workers=True, verbose=False)
    module = JudgeModule(sizes, classes, data, learning_rate, recolour)
    with TemporaryDirectory() as folder:
        # By loss, because many epochs have the same accuracy, and because scores need calibrated probabilities.
        best = ModelCheckpoint(dirpath=folder, monitor="val/loss", save_weights_only=True)
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=epochs,
            logger=False,
            callbacks=[best],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=progress,
            gradient_clip_val=1.0,
        )
        trainer.fit(module, datamodule=data)
        module.load_state_dict(read_checkpoint(Path(best.best_model_path))["state_dict"])
        measured = trainer.test(module, datamodule=data, verbose=False)[0]
    return Judge(
        network=module.network.cpu().eval(),
        classes=classes,
        source=data.store.manifest["source"],
        frames=data.clip_length,
        accuracy={head: float(measured[f"test/{head}"]) for head in classes},
    )

"""A running mean of the weights, which is what gets evaluated and kept."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class WeightAverage(EMAWeightAveraging):
    """Validates, keeps and ends with an exponential moving average of the weights, those of batch norms included.

    Small batches make every step noisy; the mean over the last 1 / (1 - decay) steps is not. Checkpoints hold it under
    `state_dict`, where everything that reads a model looks, and beside it what training goes on from. A run whose first
    part had no average takes one up when it is resumed with this callback.

    Lightning's callback with two differences. The average stays in place until validation has ended for all callbacks,
    wherever they stand in the list; and a test, which reads the average as it reads any weights, is not warned.

    Args: decay: of the mean, per step.
    """

    def __init__(self, decay: float = 0.995) -> None:
        super().__init__(decay=decay)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the average where it is: other callbacks may still have to look at it."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.training:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

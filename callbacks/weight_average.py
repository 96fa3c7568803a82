"""A running mean of the weights, which is what gets evaluated and kept."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class WeightAverage(EMAWeightAveraging):
    """Validates, keeps and ends with an exponential moving average of the weights, those of batch norms included.

    Small batches make every step noisy; the mean over the last 1 / (1 - decay) steps is not. Checkpoints hold it under
    `state_dict`, where everything that reads a model looks, and beside it what training goes on from. A run whose first
    part had no average takes one up when it is resumed with this callback.

    Lightning's callback with differences. The average stays in place until validation has ended for all callbacks, and
    is in place for all of them when training ends, wherever they stand in the list. A checkpoint of that last moment,
    too, holds what training would go on from. The average is kept on the model's own device. A test, which reads the
    average as it reads any weights, is not warned.

    Args: decay: of the mean, per step.
    """

    def __init__(self, decay: float = 0.995) -> None:
        super().__init__(decay=decay)
        self._in_place = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # The model is moved only after this hook, and would leave its average behind.
        self._device = trainer.strategy.root_device
        self._in_place = False
        super().setup(trainer, pl_module, stage)
        # First of all, so that whoever draws or saves when training ends finds the average.
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        callbacks.insert(0, callbacks.pop(callbacks.index(self)))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the average where it is: other callbacks may still have to look at it."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._swap_models(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._in_place:
            current, average = checkpoint["state_dict"], checkpoint["current_model_state"]
            checkpoint["state_dict"], checkpoint["current_model_state"] = average, current

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.training:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def _swap_models(self, pl_module: LightningModule) -> None:
        super()._swap_models(pl_module)
        self._in_place = not self._in_place

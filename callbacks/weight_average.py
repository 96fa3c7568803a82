"""A running mean of the weights, which is evaluated and saved in their place."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class WeightAverage(EMAWeightAveraging):
    """Validates, saves and ends with an exponential moving average of the weights, batch norms' statistics included.

    Small batches make every step noisy; the mean over the last 1 / (1 - decay) steps is less so. Checkpoints hold it as
    `state_dict`, which everything that reads a model uses, and beside it the weights that training goes on from. A run
    that began without this callback can be resumed with it.

    It differs from Lightning's callback in four ways. The average stays in place until validation has ended for all
    callbacks, and is in place for all of them when training ends, in whatever order they are listed. A checkpoint
    written then also holds the weights that training would go on from. The average is kept on the model's device. A
    test gives no warning, because it reads the average like any weights.

    Args: decay: the decay of the mean per step.
    """

    def __init__(self, decay: float = 0.995) -> None:
        super().__init__(decay=decay)
        self._in_place = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # The model is moved to its device after this hook, and its average would not be.
        self._device = trainer.strategy.root_device
        self._in_place = False
        super().setup(trainer, pl_module, stage)
        # First in the list, so that callbacks that draw or save when training ends find the average.
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        callbacks.insert(0, callbacks.pop(callbacks.index(self)))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the average in place, because other callbacks may still evaluate it."""

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

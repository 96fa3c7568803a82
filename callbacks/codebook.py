"""Logs how the codebook of actions is used."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from callbacks.graceful_stop import step_ended
from data_modules.common.errors import UserError
from vdsm_glass.layers.quantizer import Quantizer, perplexity, usage

KEY = "codebook_counts"


class CodebookHealth(Callback):
    """Logs how the K actions were used over the last training steps, by all processes together.

    The module names what counts them as `quantizer`.

    `codebook/perplexity` is K if all are used equally and 1 if only one is used, `codebook/dead` the number of unused
    ones, `codebook/usage_<k>` the share of each. Every step logs the values of the last complete window.

    Args:
        window: the number of training steps that are counted together.

    Raises: UserError, a window of no steps.
    """

    def __init__(self, window: int = 100) -> None:
        if window < 1:
            raise UserError(f"codebook.window is {window}, expected the number of steps to count together, 1 or more")
        self.window = window
        self.values: dict[str, float] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if step_ended(trainer, batch_idx) and trainer.global_step % self.window == 0:
            counts = taken_from_all(trainer, pl_module.quantizer)
            # While global analysis is trained alone, no action is inferred.
            if counts.any():
                shares = {f"codebook/usage_{k}": share for k, share in enumerate(usage(counts).tolist())}
                dead = float((counts == 0).sum())
                self.values = {"codebook/perplexity": perplexity(counts).item(), "codebook/dead": dead, **shares}
        pl_module.log_dict(self.values)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        counts = taken_from_all(trainer, pl_module.quantizer)
        checkpoint[KEY] = counts.tolist()
        if trainer.is_global_zero:
            pl_module.quantizer.add_counts(counts)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        quantizer = pl_module.quantizer
        if trainer.is_global_zero and KEY in checkpoint:
            quantizer.add_counts(quantizer.codes.new_tensor(checkpoint[KEY]))

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.values = state_dict["values"]


def taken_from_all(trainer: Trainer, quantizer: Quantizer) -> Tensor:
    """(K,) counts since the last call, summed over all processes."""
    return torch.as_tensor(trainer.strategy.reduce(quantizer.take_counts(), reduce_op="sum"))

"""Stops training at a loss or gradient that is not finite."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from data_modules.common.errors import UserError

SHOWN = 3


class NonFiniteError(UserError):
    """A loss or gradient is NaN or infinite."""


class NonFiniteGuard(Callback):
    """Stops a run before a non-finite loss or gradient reaches the weights, and says where it came from.

    It adds the loss and the norm of all gradients on the device, and checks once per step whether the sum is finite.
    All processes of a DDP job decide alike. The last checkpoint is left as it is. fp16's loss scaler skips overflowing
    steps by itself, so only the loss is checked with it.

    Args:
        skip: the total number of such steps that may be left out, without their gradients, before the run is stopped.
    """

    def __init__(self, skip: int = 0) -> None:
        if skip < 0:
            raise UserError(f"nan_guard.skip is {skip}, expected the number of steps that may be left out, 0 or more")
        self.skip = skip
        self.skipped = 0
        self._loss: Tensor | None = None
        self._place = ""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._place = f"step {trainer.global_step}, epoch {trainer.current_epoch}, batch {batch_idx}"
        # Kept as a tensor, because reading it would wait for the device.
        self._clips = getattr(batch, "clip", None)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        loss = loss.detach().float()
        # Several batches are summed where gradients accumulate over them.
        self._loss = loss if self._loss is None else self._loss + loss

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        loss, self._loss = self._loss, None
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        total = torch.zeros((), device=pl_module.device) if scaled else gradient_norm(pl_module)
        if loss is not None:
            # The magnitude, so that no infinities cancel.
            total = total + loss.abs()
        if trainer.world_size > 1:
            # Gradients are the same everywhere, the loss is not.
            total = trainer.strategy.reduce(total, reduce_op="sum")
        if torch.isfinite(total).item():
            return
        found = self._describe(pl_module, loss)
        if self.skipped >= self.skip:
            raise NonFiniteError(self._message(found))
        self.skipped += 1
        self._drop_gradients(pl_module, found)
        pl_module.log("non_finite_steps", float(self.skipped), prog_bar=True, rank_zero_only=True)

    def _describe(self, module: LightningModule, loss: Tensor | None) -> str:
        terms = getattr(module, "last_terms", {}).items()
        parts = [f"loss term {name} is {_worst(term)}" for name, term in terms if not torch.isfinite(term).all()]
        if not parts and loss is not None and not torch.isfinite(loss):
            parts.append(f"the loss is {_worst(loss)}")
        bad = [name for name, parameter in module.named_parameters() if _is_bad(parameter.grad)]
        if bad:
            more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
            parts.append(f"the gradient is not finite in {', '.join(bad[:SHOWN])}{more}")
        elif not parts and not torch.isfinite(gradient_norm(module)):
            parts.append("the gradients' norm is beyond float32")
        clips = f", clips {self._clips.tolist()}" if isinstance(self._clips, Tensor) else ""
        return f"{self._place}{clips}: {'; '.join(parts) or 'not finite in another process'}"

    def _message(self, found: str) -> str:
        budget = f" ({self.skipped} such steps were left out before)" if self.skipped else ""
        return (
            f"{found}{budget}. The weights are those of the step before, and the last checkpoint was not touched. "
            "Lower the learning rate, set --trainer.gradient_clip_val, find the operation with "
            "--trainer.detect_anomaly true, look at those clips, or leave up to N such steps out with "
            "--nan_guard.skip N"
        )

    def _drop_gradients(self, module: LightningModule, found: str) -> None:
        for parameter in module.parameters():
            parameter.grad = None
        # Running statistics were updated in the forward pass, although its gradients are dropped.
        spoilt = [name for name, buffer in module.named_buffers() if _is_bad(buffer)]
        if spoilt:
            raise NonFiniteError(
                f"{self._message(found)}. This step cannot be left out: the buffer {spoilt[0]} is not finite any more"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped = state_dict["skipped"]


def gradient_norm(module: nn.Module) -> Tensor:
    """The 2-norm of all gradients together, on their device; 0 without gradients."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients, foreach=True).float()


def _is_bad(value: Tensor | None) -> bool:
    return value is not None and value.is_floating_point() and not bool(torch.isfinite(value).all())


def _worst(value: Tensor) -> float:
    return float(value.flatten()[~torch.isfinite(value.flatten())][0])

"""A loss or gradient that is not finite is an event with a name."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from data_modules.common.errors import UserError

SHOWN = 3


class NonFiniteError(UserError):
    """Training met a loss or gradient that is NaN or infinite."""


class NonFiniteGuard(Callback):
    """Stops a run before a non-finite loss or gradient reaches the weights, and says where it came from.

    It adds up, on the device, the loss and the norm of all gradients, and asks once a step whether the sum is finite;
    all processes of a DDP job decide alike. The checkpoint last written is left as it is. fp16's loss scaler skips
    overflowing steps by itself; with it only the loss is looked at.

    Args:
        skip: how many such steps may be left out, in total, before the run is stopped: their gradients are dropped, and
            the optimiser changes nothing.
    """

    def __init__(self, skip: int = 0) -> None:
        if skip < 0:
            raise UserError(f"nan_guard.skip is {skip}, expected the number of steps that may be left out, 0 or more")
        self.skip = skip
        self.skipped = 0
        self._loss: Tensor | None = None
        self._place = ""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        clips = getattr(batch, "clip", None)
        self._place = f"step {trainer.global_step}, epoch {trainer.current_epoch}, batch {batch_idx}"
        # Kept as it is: to read it would wait for the device.
        self._clips = clips

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
            # inf - inf must not pass for a number, hence the magnitude.
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
        terms = {
            name: term for name, term in getattr(module, "last_terms", {}).items() if not torch.isfinite(term).all()
        }
        parts = [f"loss term {name} is {_worst(term)}" for name, term in terms.items()]
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
        # Running statistics take the forward pass in, whatever becomes of its gradients.
        spoilt = [name for name, buffer in module.named_buffers() if _is_bad(buffer)]
        if spoilt:
            raise NonFiniteError(f"{self._message(found)}. Not this time: buffer {spoilt[0]} took it in")

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped = state_dict["skipped"]


def gradient_norm(module: nn.Module) -> Tensor:
    """The 2-norm of all gradients together, on their device; 0 if there are none."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return nn.utils.get_total_norm(gradients, foreach=True).float()


def _is_bad(value: Tensor | None) -> bool:
    return value is not None and value.is_floating_point() and not bool(torch.isfinite(value).all())


def _worst(value: Tensor) -> float:
    return float(value.flatten()[~torch.isfinite(value.flatten())][0])

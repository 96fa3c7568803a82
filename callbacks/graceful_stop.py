"""Ends a run between two steps on Ctrl-C, so that everything can be saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

MESSAGE = b"\nstopping after this step and saving; Ctrl-C again stops at once, with the last checkpoint as it is\n"


class GracefulStop(Callback):
    """Delays a first Ctrl-C until the step or a running validation has ended; a second one acts at once.

    An interrupted step has already drawn its noise and taken its batch, so a run resumed from a checkpoint of that
    moment would differ from an uninterrupted one. All processes of a DDP job stop after the same step.
    """

    def __init__(self) -> None:
        self.asked = False
        self.agreed = False
        self._previous: Any = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Python allows handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            self._process = os.getpid()
            self._previous = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        # Data workers inherit this handler and must print nothing; print() is not safe in a signal handler.
        if os.getpid() == self._process:
            os.write(2, MESSAGE)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if step_ended(trainer, batch_idx):
            self.agreed = any_process(trainer, self.asked or trainer.received_sigterm)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # For a signal that came during a validation.
        self.agreed = any_process(trainer, self.asked or trainer.received_sigterm)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_batch_start(trainer, pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        # Here and not at the end of the step, because its metrics are logged in between.
        if self.agreed:
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None


def stop_agreed(trainer: Trainer) -> bool:
    """Whether the run ends after this step, on all processes."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return any(callback.agreed for callback in callbacks if isinstance(callback, GracefulStop))


def step_ended(trainer: Trainer, batch_idx: int) -> bool:
    """Whether the optimiser stepped after this batch; gradients still being accumulated are in no checkpoint."""
    return trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def any_process(trainer: Trainer, answer: bool) -> bool:
    """Whether the answer of any process is true; several processes use one small all-reduce."""
    return trainer.strategy.reduce_boolean_decision(answer, all=False) if trainer.world_size > 1 else answer

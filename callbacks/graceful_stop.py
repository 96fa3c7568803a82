"""Ctrl-C ends a run between two steps, where everything can be saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

MESSAGE = b"\nstopping after this step and saving; Ctrl-C again stops at once, with the last checkpoint as it is\n"


class GracefulStop(Callback):
    """Holds a first Ctrl-C back until the step (or a validation that is under way) has ended; a second acts at once.

    A step that is broken off has drawn its noise and taken its batch: a checkpoint of that moment would not resume to
    the numbers of an uninterrupted run. All processes of a DDP job stop after the same step.
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
        # Data workers inherit this handler, and are silent; print() must not be called in one.
        if os.getpid() == self._process:
            os.write(2, MESSAGE)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if step_ended(trainer, batch_idx):
            self.agreed = any_process(trainer, self.asked or trainer.received_sigterm)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Asked during a validation.
        self.agreed = any_process(trainer, self.asked or trainer.received_sigterm)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        # Only here, and not when the step ended: its metrics are logged in between.
        self._stop()

    def _stop(self) -> None:
        if self.agreed:
            raise KeyboardInterrupt

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
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
    """Whether any process says yes; one small all-reduce where there are several."""
    return trainer.strategy.reduce_boolean_decision(answer, all=False) if trainer.world_size > 1 else answer

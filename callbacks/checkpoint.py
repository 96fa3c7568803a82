"""The checkpoints that a run keeps: last.ckpt to go on from, best.ckpt to use."""

from __future__ import annotations

import time
from math import inf
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from callbacks.checkpoint_io import remove_leftovers
from callbacks.graceful_stop import any_process, step_ended, stop_agreed
from callbacks.rng_state import KEY as RNG
from data_modules.common.errors import UserError, did_you_mean

LAST, BEST = "last.ckpt", "best.ckpt"
SECONDS_PER_MINUTE = 60.0
OF_TRAINING = ("callbacks", "optimizer_states", "lr_schedulers", "current_model_state", "averaging_state", RNG)
"""What a checkpoint needs only for training; the averaging states are `WeightAverage`'s."""


class RunCheckpoint(Checkpoint):
    """Keeps `<run>/checkpoints/last.ckpt` and, if a metric is monitored, `best.ckpt`.

    last.ckpt holds everything. It is written before the first step, so that every run can be resumed, then every few
    minutes (a checkpoint of Sprites' full width is 1.6 GB, and an epoch may last half a second), and when training ends
    or is ended by Ctrl-C or SIGTERM. It is only written where Lightning resumes exactly: never between the last step of
    an epoch and the end of its validation, which a resumed run would skip. Other exceptions leave it alone, because the
    state that they leave may be wrong.

    Args:
        monitor: the logged metric that best.ckpt is chosen by; without one there is no best.ckpt.
        mode: whether less or more of the metric is better.
        every_minutes: how often last.ckpt is written.
        every_n_train_steps: after how many optimiser steps last.ckpt is also written.
        best_weights_only: leave out of best.ckpt what only training needs; then no run can be resumed from it.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        every_minutes: float = 2.0,
        every_n_train_steps: int | None = None,
        best_weights_only: bool = True,
    ) -> None:
        super().__init__()
        self.monitor, self.mode = monitor, mode
        self.every_minutes, self.every_n_train_steps = every_minutes, every_n_train_steps
        self.best_weights_only = best_weights_only
        self.best_score: float | None = None
        self.last_model_path = self.best_model_path = ""
        self._saved_step, self._saved_at = -1, 0.0
        self._postponed = self._validated = self._between_epochs = self._only_weights = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        if stage == "fit":
            rank_zero_only(remove_leftovers)(self.folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The first process decides: others may not see its disk, and all save together.
        if trainer.strategy.broadcast((self.folder / LAST).is_file()):
            self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        else:
            self.save_last(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not step_ended(trainer, batch_idx) or not self._due(trainer):
            return
        every = trainer.val_check_batch
        validation_follows = trainer.enable_validation and every not in (None, inf) and (batch_idx + 1) % every == 0
        if trainer.is_last_batch or validation_follows:
            self._postponed = True
        else:
            # Lightning logs the step after this. A run that is killed in between would never have its row.
            trainer._logger_connector.update_train_step_metrics()
            self.save_last(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self._validated = True
        self.save_if_best(trainer)
        if self._postponed and not trainer.is_last_batch:
            self.save_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitor is not None and self._validated and self.monitor not in trainer.callback_metrics:
            logged = sorted(trainer.callback_metrics)
            raise UserError(
                f"checkpoint.monitor is {self.monitor!r}, which was never logged{did_you_mean(self.monitor, logged)}; "
                f"logged were: {', '.join(logged) or 'none'}"
            )
        self.save_if_best(trainer)
        if self._postponed or self._due(trainer):
            self.save_last(trainer, between_epochs=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save_last(trainer, between_epochs=True)

    def outdated(self) -> None:
        """Says that what last.ckpt should hold has changed since its step; called before training ends."""
        self._saved_step = -1

    def save_last(self, trainer: Trainer, *, between_epochs: bool = False) -> None:
        """Writes last.ckpt, unless it holds this step already."""
        self._postponed, self._between_epochs = False, between_epochs
        if is_trial(trainer) or self._saved_step == trainer.global_step:
            return
        self.last_model_path = str(self.folder / LAST)
        trainer.save_checkpoint(self.last_model_path, weights_only=False)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def save_if_best(self, trainer: Trainer) -> None:
        """Writes best.ckpt if the monitored metric is better than ever before."""
        if self.monitor is None or self.monitor not in trainer.callback_metrics or is_trial(trainer):
            return
        score = float(trainer.callback_metrics[self.monitor])
        before = self.best_score
        better = score == score and (before is None or (score < before if self.mode == "min" else score > before))
        if any_process(trainer, better):
            self.best_score = score
            self.best_model_path = str(self.folder / BEST)
            self._only_weights = self.best_weights_only
            try:
                # With weights_only=True no callback could put the mean of the weights in.
                trainer.save_checkpoint(self.best_model_path, weights_only=False)
            finally:
                self._only_weights = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._between_epochs:
            # The next epoch would otherwise start at the loader's position in the finished one.
            checkpoint["loops"]["fit_loop"]["state_dict"].pop("combined_loader", None)
        if self._only_weights:
            for key in OF_TRAINING:
                checkpoint.pop(key, None)

    def _due(self, trainer: Trainer) -> bool:
        if stop_agreed(trainer):
            return True
        steps, now = self.every_n_train_steps, trainer.global_step
        by_steps = bool(steps) and now % steps == 0 and now != self._saved_step
        by_time = time.monotonic() - self._saved_at >= self.every_minutes * SECONDS_PER_MINUTE
        # Clocks differ between processes, but all of them must save together.
        return by_steps or any_process(trainer, by_time)

    def state_dict(self) -> dict[str, Any]:
        return {"best_score": self.best_score, "best_model_path": self.best_model_path}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_score = state_dict["best_score"]
        self.best_model_path = state_dict["best_model_path"]


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a `fast_dev_run`, which leaves nothing behind."""
    return bool(trainer.fast_dev_run)  # pyright: ignore[reportAttributeAccessIssue]

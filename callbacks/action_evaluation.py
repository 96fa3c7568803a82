"""Inferred actions against true ones, where a dataset has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks.results import Scoring
from data_modules.batch import VideoBatch
from vdsm_glass.registry import model_of

if TYPE_CHECKING:
    from vdsm_glass.metrics.actions import ActionScores

log = logging.getLogger(__name__)


class ActionEvaluation(Scoring):
    """Scores every validation and test clip, logs `val/nmi_g` and so on, and records them after a test.

    What there is to score and what it is called: see `ActionScores`. Scores are of all processes together. Where a
    dataset has none of the labels, nothing is scored, and the log says so once.

    The module's steps return the inferred actions (b, t-1).
    """

    labels: ClassVar[tuple[str, ...]] = ("foreground_shift", "local_action")
    scored: ClassVar[str] = "actions"

    def __init__(self) -> None:
        self.scores: Any = None
        self._said = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: VideoBatch, *_: int
    ) -> None:
        self.score(pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: VideoBatch, *_: int
    ) -> None:
        self.score(pl_module, outputs, batch, testing=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.report(pl_module, stage="val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.report(pl_module, stage="test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.record(trainer, ())

    def begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forgets what was scored before."""
        if self.scores is None:
            self.scores = self.made(trainer, pl_module)
        self.scores.to(pl_module.device).reset()

    def made(self, trainer: Trainer, pl_module: LightningModule) -> ActionScores:
        """The scores, empty."""
        from vdsm_glass.metrics.actions import ActionScores

        model: Any = model_of(pl_module)
        return ActionScores(actions=model.k)

    @torch.no_grad()
    def score(self, pl_module: Any, outputs: Any, batch: VideoBatch, *, testing: bool = False) -> None:
        """Adds a batch.  Args: outputs, what the module's step returns; testing, whether this is a test."""
        self.scores.update_actions(batch, outputs)

    def report(self, pl_module: LightningModule, *, stage: str) -> None:
        """Logs the scores under `<stage>/`; called by every process."""
        values = self.scores.compute()
        values.pop("clips")  # every result's protocol has them
        # They are the same in every process already; Lightning wants to hear that it may average them.
        pl_module.log_dict({f"{stage}/{name}": value.float() for name, value in values.items()}, sync_dist=True)
        if not values and not self._said:
            self._said = True
            if pl_module.global_rank == 0:
                log.warning("The clips carry no %s: %s are not scored.", ", ".join(self.labels), self.scored)

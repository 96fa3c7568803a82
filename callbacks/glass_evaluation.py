"""GLASS against true masks, shifts and actions, where a dataset has them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer

from callbacks.results import Scoring
from data_modules.batch import VideoBatch
from vdsm_glass.glass.animation import ActionSequence, animate
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.registry import model_of

if TYPE_CHECKING:
    from vdsm_glass.metrics.glass import GLASSScores

log = logging.getLogger(__name__)

LABELS = ("mask", "foreground_shift", "background_shift", "local_action")


class GLASSEvaluation(Scoring):
    """Scores every validation and test clip, logs `val/miou` and so on, and records them after a test.

    What there is to score and what it is called: see `GLASSScores`. Scores are of all processes together. Where a
    dataset has none of the labels, nothing is scored, and the log says so once.
    """

    def __init__(self) -> None:
        self.scores: GLASSScores | None = None
        self._said = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.begin(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.begin(trainer, pl_module)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: GLASSModule, outputs: Any, batch: VideoBatch, *_: int
    ) -> None:
        self.score(pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: GLASSModule, outputs: Any, batch: VideoBatch, *_: int
    ) -> None:
        self.score(pl_module, outputs, batch, other_codes=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.report(pl_module, stage="val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.report(pl_module, stage="test")

    def on_test_end(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        self.record(trainer, ())

    def begin(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        """Forgets what was scored before."""
        from vdsm_glass.metrics.glass import GLASSScores

        if self.scores is None:
            walks = getattr(trainer.datamodule, "walks", None)  # pyright: ignore[reportAttributeAccessIssue]
            self.scores = GLASSScores(actions=pl_module.net.lma.sizes.actions, walks=walks)
        self.scores.to(pl_module.device).reset()

    @torch.no_grad()
    def score(
        self, pl_module: GLASSModule, outputs: dict[str, Any], batch: VideoBatch, *, other_codes: bool = False
    ) -> None:
        """Adds a batch.  Args: outputs, what the module's `score` returns; other_codes, see `GLASSScores`."""
        assert self.scores is not None
        model: Any = model_of(pl_module)
        forced = None if batch.mask is None else model.teacher_forced(batch.video)
        other = None
        if other_codes and len(batch) > 1:
            actions: ActionSequence = outputs["inference"].actions
            swapped = replace(actions, local_action=actions.local_action.roll(1, dims=0))
            other = animate(pl_module.net, batch.video[:, 0], swapped)
        self.scores.update(pl_module.net, batch, **outputs, forced=forced, other=other)

    def report(self, pl_module: GLASSModule, *, stage: str) -> None:
        """Logs the scores under `<stage>/`; called by every process."""
        assert self.scores is not None
        values = self.scores.compute()
        values.pop("clips")  # every result's protocol has them
        # They are the same in every process already; Lightning wants to hear that it may average them.
        pl_module.log_dict({f"{stage}/{name}": value.float() for name, value in values.items()}, sync_dist=True)
        if not values and not self._said:
            self._said = True
            if pl_module.global_rank == 0:
                log.warning("The clips carry no %s: masks, shifts and actions are not scored.", ", ".join(LABELS))

"""GLASS against true masks, shifts and actions, where a dataset has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer

from callbacks.action_evaluation import ActionEvaluation
from data_modules.batch import VideoBatch
from vdsm_glass.glass.animation import ActionSequence, animate
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.registry import model_of

if TYPE_CHECKING:
    from vdsm_glass.metrics.glass import GLASSScores


class GLASSEvaluation(ActionEvaluation):
    """Scores every validation and test clip, logs `val/miou` and so on, and records them after a test.

    As `ActionEvaluation`, but of `GLASSScores`, and the module's steps return `inference` and `animation`.
    """

    labels = ("mask", "foreground_shift", "background_shift", "local_action")
    scored = "masks, shifts and actions"

    def made(self, trainer: Trainer, pl_module: GLASSModule) -> GLASSScores:
        from vdsm_glass.metrics.glass import GLASSScores

        walks = getattr(trainer.datamodule, "walks", None)  # pyright: ignore[reportAttributeAccessIssue]
        return GLASSScores(actions=pl_module.net.lma.sizes.actions, walks=walks)

    @torch.no_grad()
    def score(
        self, pl_module: GLASSModule, outputs: dict[str, Any], batch: VideoBatch, *, testing: bool = False
    ) -> None:
        """Adds a batch; in a test each clip is also animated by another one's local actions, see `GLASSScores`."""
        model: Any = model_of(pl_module)
        forced = None if batch.mask is None else model.teacher_forced(batch.video)
        other = None
        if testing and len(batch) > 1:
            actions: ActionSequence = outputs["inference"].actions
            swapped = replace(actions, local_action=actions.local_action.roll(1, dims=0))
            other = animate(pl_module.net, batch.video[:, 0], swapped)
        self.scores.update(pl_module.net, batch, **outputs, forced=forced, other=other)

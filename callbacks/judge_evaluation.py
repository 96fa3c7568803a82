"""Scores what VDSM draws with a classifier of real clips, at the end of a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch import Callback, Trainer

from data_modules.base import VideoDataModule
from vdsm_glass.vdsm.module import VDSMModule

if TYPE_CHECKING:
    from vdsm_glass.judge.judge import Judge


class JudgeEvaluation(Callback):
    """Logs `test/judge/action/frozen_dynamics/acc` and all other numbers of `judge_results`.

    Every process computes the same numbers.

    Args:
        judge: a file that `vdsm-glass judge` has written, for the same clips.
        clips: the largest number of clips per label; the labels are balanced.
        batch_size: the number of clips drawn at once.
        seed: for the choice of clips and everything that is drawn.
        fitted_to: the largest number of training clips to which a density is fitted that is scored beside the prior; 0
            takes the one that the checkpoint carries, if it carries one.
    Raises: UserError when the test begins, there is no such judge, or it was trained on other clips.
    """

    def __init__(self, judge: Path, clips: int = 500, batch_size: int = 32, seed: int = 0, fitted_to: int = 0) -> None:
        self.judge = judge
        self.how = {"clips": clips, "batch_size": batch_size, "seed": seed, "fitted_to": fitted_to}
        self._judge: Judge | None = None

    def setup(self, trainer: Trainer, pl_module: VDSMModule, stage: str) -> None:
        from vdsm_glass.judge.judge import load_judge

        if stage == "test":
            self._judge = load_judge(self.judge)
            self._judge.check(trainer.datamodule)  # pyright: ignore[reportAttributeAccessIssue]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        from vdsm_glass.judge.scores import judge_results

        assert self._judge is not None
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        results = judge_results(pl_module.net, self._judge, data, **self.how)
        # All processes have the same numbers; Lightning warns if it may not average them.
        pl_module.log_dict({f"test/{name}": float(value) for name, value in results.items()}, sync_dist=True)

"""Fits, when training ends, the density that sampling draws from in the prior's place."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from callbacks.checkpoint import BEST, RunCheckpoint, is_trial
from callbacks.checkpoint_io import AtomicCheckpointIO
from data_modules.base import VideoDataModule
from vdsm_glass.architecture import load_checkpoint
from vdsm_glass.checkpoints import FITTED, read_whole
from vdsm_glass.vdsm.fitted import FittedPrior
from vdsm_glass.vdsm.module import VDSMModule


class FittedDensity(Callback):
    """Fits q(s) and q(d, z_1) of training clips (`FittedPrior`) when training ends, for last.ckpt and for best.ckpt.

    A run that is interrupted gets its density when it is resumed and ends. It goes with the checkpoint into exports.

    Args:
        clips: the largest number of training clips, evenly spread; from fewer than two nothing is fitted.
        batch_size: the number of clips encoded at once.
    """

    def __init__(self, clips: int = 2000, batch_size: int = 32) -> None:
        self.how = {"most": clips, "batch_size": batch_size}

    def on_train_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if is_trial(trainer) or len(data.evaluation_dataset("train")) < 2:
            return
        pl_module.eval()
        if trainer.is_global_zero:  # which writes checkpoints and draws pictures
            pl_module.net.fitted = FittedPrior.of_training_clips(pl_module.net, data, **self.how)
        for checkpoint in trainer.checkpoint_callbacks:
            if isinstance(checkpoint, RunCheckpoint):
                checkpoint.outdated()
                self.add_to(checkpoint.folder / BEST, pl_module, data)

    @rank_zero_only
    def add_to(self, path: Path, pl_module: VDSMModule, data: VideoDataModule) -> None:
        """Fits a density to the weights in a checkpoint, if it is there, and writes it into the file."""
        if not path.is_file():
            return
        net = load_checkpoint(path)[1].to(pl_module.device)
        fitted = FittedPrior.of_training_clips(net, data, **self.how)  # pyright: ignore[reportArgumentType]
        content = read_whole(path, mapped=False) | {FITTED: fitted.tensors()}
        AtomicCheckpointIO().save_checkpoint(content, path)

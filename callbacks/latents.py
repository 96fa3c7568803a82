"""What VDSM takes clips apart into, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from data_modules.batch import VideoBatch
from data_modules.files import replacing
from vdsm_glass.vdsm.latents import Latents
from vdsm_glass.vdsm.module import VDSMModule


class LatentWriter(BasePredictionWriter):
    """Writes `<run>/predict/version_<n>/latents-<process>.npz` at the end of `vdsm-glass predict`.

    Arrays of n clips: `s` (n, s), `z` (n, t, z), after stage 2 `d` (n, d); `identity` (n,), `action` (n,) or (n, t),
    and `clip` (n,), where each clip is in the test split.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="batch_and_epoch")
        self.labels: list[VideoBatch] = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: VDSMModule,
        prediction: Latents,
        batch_indices: Sequence[int] | None,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self.labels.append(batch)

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: VDSMModule, predictions: Sequence[Latents], batch_indices: Sequence[Any]
    ) -> None:
        latents = Latents.concatenate(list(predictions))
        arrays = {"s": latents.s, "z": latents.z} | ({} if latents.d is None else {"d": latents.d})
        columns = {name: value.numpy(force=True) for name, value in arrays.items()}
        for name in ("identity", "action", "clip"):
            columns[name] = np.concatenate([getattr(batch, name).numpy(force=True) for batch in self.labels])
        self.labels = []
        with replacing(Path(trainer.default_root_dir) / f"latents-{trainer.global_rank}.npz") as temporary:
            np.savez_compressed(temporary, **columns)

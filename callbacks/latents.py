"""What VDSM takes clips apart into, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, Trainer

from data_modules.batch import VideoBatch
from data_modules.common.files import replacing
from vdsm_glass.vdsm.frames import Latents
from vdsm_glass.vdsm.module import VDSMModule

LABELS = ("identity", "action", "clip")


class LatentWriter(Callback):
    """Writes `<run>/predict/version_<n>/latents-<process>.npz` at the end of `vdsm-glass predict`.

    Arrays of n clips: `s` (n, s), `z` (n, t, z), after stage 2 `d` (n, d); `identity` (n,), `action` (n,) or (n, t),
    and `clip` (n,), where each clip is in the test split.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        self.latents: list[Latents] = []
        self.labels: list[dict[str, np.ndarray]] = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: VDSMModule, outputs: Latents, batch: VideoBatch, batch_idx: int
    ) -> None:
        self.latents.append(outputs)
        self.labels.append({name: getattr(batch, name).numpy(force=True) for name in LABELS})

    def on_predict_end(self, trainer: Trainer, pl_module: VDSMModule) -> None:
        latents = Latents.concatenate(self.latents)
        arrays = {"s": latents.s, "z": latents.z} | ({} if latents.d is None else {"d": latents.d})
        columns = {name: value.numpy(force=True) for name, value in arrays.items()}
        columns |= {name: np.concatenate([labels[name] for labels in self.labels]) for name in LABELS}
        with replacing(Path(trainer.default_root_dir) / f"latents-{trainer.global_rank}.npz") as temporary:
            np.savez_compressed(temporary, allow_pickle=False, **columns)

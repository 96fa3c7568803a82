"""Random number generators in the checkpoint, so that a resumed run draws the noise it would have drawn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

KEY = "rng_states"


class RNGState(Callback):
    """Saves and restores Python's, NumPy's and PyTorch's generators (CPU and this process's GPU), one set per process.

    They are restored twice: when the checkpoint is read, and again before the first step or validation that follows it
    in mid-epoch, because making the data loader's iterator draws a seed, which the uninterrupted run did long before. A
    resume at an epoch's start is not restored again: there both runs make a new iterator.
    """

    def __init__(self) -> None:
        self._again: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = read_generators(trainer.strategy.root_device)
        states: list[Any] = [state]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            torch.distributed.all_gather_object(states, state)
        checkpoint[KEY] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get(KEY, [])
        if len(states) != trainer.world_size:
            rank_zero_warn(
                f"the checkpoint was written by {len(states)} processes and is resumed by {trainer.world_size}: it "
                "goes on with other noise than the uninterrupted run would have drawn"
            )
            return
        self._again = states[trainer.global_rank]
        write_generators(self._again, trainer.strategy.root_device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._restore_again(trainer, needed=batch_idx > 0)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_again(trainer, needed=True)

    def _restore_again(self, trainer: Trainer, *, needed: bool) -> None:
        if self._again is not None and needed:
            write_generators(self._again, trainer.strategy.root_device)
        self._again = None


def read_generators(device: torch.device) -> dict[str, Any]:
    """The state of all generators as plain containers and tensors, which a checkpoint can hold without pickled code."""
    numpy_name, keys, position, has_gauss, cached_gaussian = np.random.get_state()  # noqa: NPY002
    version, words, gauss_next = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [str(numpy_name), torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached_gaussian],
        "python": [version, list(words), gauss_next],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def write_generators(state: dict[str, Any], device: torch.device) -> None:
    """Puts all generators into a state that `read_generators` gave."""
    torch.set_rng_state(state["torch"])
    numpy_name, keys, *rest = state["numpy"]
    np.random.set_state((numpy_name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)

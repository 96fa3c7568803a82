"""A stream of noise for the training steps alone, kept in the checkpoint."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

KEY = "rng_states"


class RNGState(Callback):
    """Gives training steps a stream of noise that nothing else draws from, and saves its position.

    The generators' states are stored when training starts and after every step, and restored before every step. What
    draws in between (a loader that seeds its workers, a validation, a picture of random samples) does so more or less
    often in an interrupted run. So a resumed run draws the noise of an uninterrupted one, and more validations do not
    change what is learned. Each process has its own stream.

    This holds for PyTorch's generators, at 2 us per step. NumPy's and Python's take 0.2 ms to read and write; training
    steps do not draw from them, and they are restored only before a resumed run's first step.
    """

    def __init__(self) -> None:
        self._stream: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = trainer.strategy.root_device
        if self._stream:
            # A loader that draws its order when it is first iterated draws the same as in the uninterrupted run.
            write_generators(self._stream, device)
        else:
            # Lightning gives all processes the same seed: they would draw the same noise for different clips.
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)
            self._stream = read_torch(device)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        write_generators(self._stream, trainer.strategy.root_device)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._stream = read_torch(trainer.strategy.root_device)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = read_torch(trainer.strategy.root_device) | read_others() | self._stream
        states: list[Any] = [state]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            torch.distributed.all_gather_object(states, state)
        checkpoint[KEY] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint.get(KEY, [])
        if len(states) == trainer.world_size:
            self._stream = states[trainer.global_rank]
        else:
            rank_zero_warn(
                f"the checkpoint was written by {len(states)} processes and is resumed by {trainer.world_size}: "
                "the noise will not be that of an uninterrupted run"
            )


def read_torch(device: torch.device) -> dict[str, Any]:
    """The state of PyTorch's generators: the CPU's, and that of `device` if it is a GPU."""
    state = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def read_others() -> dict[str, Any]:
    """The state of NumPy's and Python's generators, as plain data that a checkpoint can hold."""
    state: Any = np.random.get_state()  # noqa: NPY002
    name, keys, position, has_gauss, cached_gaussian = state
    version, words, gauss_next = random.getstate()
    return {
        "numpy": [str(name), torch.from_numpy(keys.view(np.int32)), position, has_gauss, cached_gaussian],
        "python": [version, list(words), gauss_next],
    }


def write_generators(state: dict[str, Any], device: torch.device) -> None:
    """Restores the generators whose states are in `state`."""
    if "torch" in state:
        torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if "numpy" in state:
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, keys.numpy().view(np.uint32), *rest))  # noqa: NPY002
    if "python" in state:
        version, words, gauss_next = state["python"]
        random.setstate((version, tuple(words), gauss_next))

"""Reading checkpoints: whole files of ours, or one clear error."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from data_modules.common.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

FITTED = "fitted"
"""The key of what was fitted to a trained model and is not one of its weights: tensors by name."""


class CheckpointError(UserError):
    """A checkpoint that is missing, truncated, foreign or of other sizes."""


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """The contents of a Lightning checkpoint, tensors on the CPU; runs no code from the file.

    Raises: CheckpointError, naming the file, what is wrong with it and what to do.
    """
    checkpoint = read_whole(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise CheckpointError(
            f"{path}: holds no state_dict: it is no Lightning checkpoint; take one from a run's checkpoints/"
        )
    return checkpoint


def read_whole(path: Path | str, *, mapped: bool = True) -> Any:
    """What torch.save wrote, tensors on the CPU.

    Args: mapped, read from the file what is looked at, when it is; for who keeps the tensors, False.
    Raises: CheckpointError, the file is not there, not whole or not safe.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; checkpoints in that folder: {beside(path)}")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: not a whole checkpoint ({path.stat().st_size} bytes, and no zip archive): it was cut short or is "
            f"another kind of file; take another checkpoint (beside it: {beside(path)}), or train again"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a foreign file may raise anything
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise CheckpointError(
            f"{path}: cannot be read safely ({said}); only checkpoints that hold plain data and tensors are loaded; "
            "take one written by this program"
        ) from error


def load_part(network: nn.Module, path: Path | str, *, prefix: str, trained_by: str) -> None:
    """Fills `network` with the checkpoint's weights under `prefix`; all of them, or none.

    Args: trained_by, the LightningModule that writes such checkpoints, named in errors.
    Raises: CheckpointError, weights that are missing, left over or of other shapes.
    """
    state = read_checkpoint(path)["state_dict"]
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    problems = misfits(network.state_dict(), part)
    if problems:
        raise CheckpointError(
            f"{path}: does not fit this model: {shortened(problems)}. It should be a checkpoint of {trained_by} with "
            "the same model.init_args.sizes: give that stage's file, or make the sizes agree"
        )
    network.load_state_dict(part)


def steps_in(path: Path | str, module: LightningModule, *, to_resume: bool) -> int:
    """The optimiser steps done when a checkpoint was written.

    Args:
        module: the model it is meant for.
        to_resume: whether training is to go on from it, which takes the optimiser's state, too.
    Raises: CheckpointError, it was written by another model or optimiser, or holds too little.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    problems = misfits(module.state_dict(), checkpoint["state_dict"]) if getattr(module, "strict_loading", True) else []
    if problems:
        raise CheckpointError(
            f"{path}: was written by another model than this {type(module).__name__}: {shortened(problems)}; give the "
            "config that it was trained with, which is in its run's config.yaml"
        )
    needed = {"global_step", "epoch", "loops", "pytorch-lightning_version"}
    needed |= {"optimizer_states", "lr_schedulers"} if to_resume else set()
    if missing := sorted(needed - checkpoint.keys()):
        raise CheckpointError(
            f"{path}: holds no {', '.join(missing)}, so training cannot go on from it (best.ckpt holds weights only); "
            f"take last.ckpt. Checkpoints beside it: {beside(path)}"
        )
    if to_resume:
        was, now = (
            given.get("optimizer", "adam") for given in (checkpoint.get("hyper_parameters", {}), module.hparams)
        )
        if was != now:
            raise CheckpointError(
                f"{path}: was trained by {was}, and {now} cannot go on with what that remembers; give "
                f"--model.optimizer {was}, or begin anew in another run: --run.name NAME"
            )
    return int(checkpoint["global_step"])


def misfits(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    """What keeps `found` from being loaded as `wanted`, one phrase each."""
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not part of the model" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in found and found[name].shape != value.shape
    ]
    return problems


def shortened(problems: list[str], shown: int = 4) -> str:
    """The first few of many problems, and how many more there are."""
    return "; ".join(problems[:shown]) + (f"; and {len(problems) - shown} more" if len(problems) > shown else "")


def beside(path: Path) -> str:
    """The other checkpoints in the folder of one."""
    return ", ".join(sorted(other.name for other in path.parent.glob("*.ckpt") if other != path)) or "none"

"""What LightningModules that take videos share: the check of a batch, the log of their terms, and PSNR."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError

SMALLEST_PERCEPTUAL = 64
"""Pixels of a frame's shorter side at least, where L_VGG compares frames of a quarter of that."""


def log_terms(
    module: LightningModule, stage: str, terms: dict[str, Tensor], *, loss: Tensor, clips: int, **extra: Tensor
) -> None:
    """Logs raw terms, each a mean over what it is taken of, and the loss."""
    in_training = stage == "train"
    values = {f"{stage}/{name}": value for name, value in (terms | {"loss": loss} | extra).items()}
    options: dict[str, Any] = {"batch_size": clips, "sync_dist": not in_training}
    module.log_dict(values, on_step=in_training, on_epoch=not in_training, **options)
    module.log("loss" if in_training else f"{stage}_loss", loss, prog_bar=True, logger=False, **options)


def checked_video(batch: VideoBatch, *, title: str, multiple: int, perceptual: bool = False) -> Tensor:
    """The batch's video, (b, t, 3, h, w) in [-1, 1].

    Args: title, of the model; multiple, of pixels that it takes; perceptual, whether L_VGG compares its frames.
    Raises: UserError, frames that the model cannot take.
    """
    _, t, _, h, w = batch.video.shape
    if h % multiple or w % multiple:
        nearest = [max(1, round(side / multiple)) * multiple for side in (h, w)]
        raise UserError(
            f"the data gives frames of {h}x{w}, but {title} takes multiples of {multiple} only; set "
            f"data.init_args.size to {nearest}, for one"
        )
    if perceptual and min(h, w) < SMALLEST_PERCEPTUAL:
        raise UserError(
            f"the data gives frames of {h}x{w}, but VGG-19 cannot halve a quarter of it four times; set "
            f"data.init_args.size to {SMALLEST_PERCEPTUAL} or more, or --model.perceptual none"
        )
    if t < 2:
        raise UserError(f"the data gives clips of {t} frame, but motion takes two; set data.init_args.clip_length")
    return batch.video * 2 - 1


def psnr(drawn: Tensor, real: Tensor) -> Tensor:
    """The mean over clips of each one's PSNR in dB.  Args: (b, ..., 3, h, w) in [0, 1] each."""
    dim = tuple(range(1, drawn.ndim))
    return peak_signal_noise_ratio(drawn, real, data_range=1.0, dim=dim, reduction="elementwise_mean")

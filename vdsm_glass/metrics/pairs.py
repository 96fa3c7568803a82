"""How near generated frames come to those they should show: MSE, PSNR and SSIM."""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from data_modules.common.errors import UserError

SSIM_WINDOW = 11


class PairMetric(Metric):
    """A score of every generated frame against its reference frame, and its mean over all clips.

    `compute` gives `mean`, a scalar over all frames, and `per_position`, (t,), over the frames of each position. A
    number a frame is kept.

    Subclasses have `score`.

    Args:
        chunk: how many pairs of frames are scored at once, which bounds memory.
    """

    is_differentiable = False
    full_state_update = False

    scores: list[Tensor]

    def __init__(self, *, chunk: int = 64) -> None:
        super().__init__()
        self.chunk = chunk
        self.add_state("scores", default=[], dist_reduce_fx="cat")

    @property
    def protocol(self) -> dict[str, str]:
        """Which network the number is from: none."""
        return {}

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        """Frames (n, 3, h, w) in [0, 1] each -> (n,)."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, generated: Tensor, reference: Tensor) -> None:
        """Args: (b, t, 3, h, w) in [0, 1] each; t the same in every call.   Raises: UserError, t or a shape differs."""
        if generated.shape != reference.shape:
            raise UserError(
                f"{type(self).__name__} compares frame by frame, and the generated video is {tuple(generated.shape)}, "
                f"the reference {tuple(reference.shape)}; generate as many frames, as large, as the reference has"
            )
        frames = (rearrange(video.float(), "b t c h w -> (b t) c h w") for video in (generated, reference))
        parts = zip(*(video.split(self.chunk) for video in frames), strict=True)
        scores = rearrange(torch.cat([self.score(*part) for part in parts]), "(b t) -> b t", t=generated.shape[1])
        if self.scores and self.scores[0].shape[1] != scores.shape[1]:
            raise UserError(
                f"{type(self).__name__} has seen clips of {self.scores[0].shape[1]} frames, and now of "
                f"{scores.shape[1]}; score clips of one length at a time"
            )
        self.scores.append(scores)

    def compute(self) -> dict[str, Tensor]:
        scores = dim_zero_cat(self.scores).double()
        return {"mean": scores.mean(), "per_position": reduce(scores, "b t -> t", "mean")}


class MSE(PairMetric):
    """Mean over pixels and channels of (x̂ - x)², for x in [0, 1].

    >>> metric = MSE()
    >>> metric.update(torch.zeros(1, 2, 3, 16, 16), torch.full((1, 2, 3, 16, 16), 0.5))
    >>> metric.compute()["per_position"]
    tensor([0.2500, 0.2500], dtype=torch.float64)
    """

    higher_is_better = False

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        return reduce((generated - reference).square(), "n c h w -> n", "mean")


class PSNR(PairMetric):
    """10 log₁₀(1 / MSE) of each frame, in dB; infinite for a frame that is its reference, and so is their mean then."""

    higher_is_better = True

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.image import peak_signal_noise_ratio

        return peak_signal_noise_ratio(generated, reference, data_range=1.0, reduction="none", dim=(1, 2, 3))


class SSIM(PairMetric):
    """Structural similarity of each frame, in [-1, 1], Gaussian window of 11 pixels.  [Wang et al. 2004]"""

    higher_is_better = True

    def score(self, generated: Tensor, reference: Tensor) -> Tensor:
        from torchmetrics.functional.image import structural_similarity_index_measure

        if min(generated.shape[-2:]) < SSIM_WINDOW:
            raise UserError(
                f"SSIM needs frames of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, and these are "
                f"{tuple(generated.shape[-2:])}; leave ssim out"
            )
        found = structural_similarity_index_measure(generated, reference, data_range=1.0, reduction="none")
        assert isinstance(found, Tensor)
        return found

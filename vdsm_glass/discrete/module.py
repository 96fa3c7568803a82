"""The training and the scores of networks that are controlled by one of K actions a frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.batch import VideoBatch
from vdsm_glass.discrete.network import DiscreteNetwork, animate
from vdsm_glass.layers.term_weights import TermWeights
from vdsm_glass.schedules import rate
from vdsm_glass.training import checked_video, log_terms, psnr

SCORED_STEP = 4
"""The step whose frame Δ_t PSNR compares.  [Genie section 3]"""


class DiscreteModule(LightningModule, ABC):
    """Wires a `DiscreteNetwork`: a subclass says what is minimised.

    Args:
        net: the network.
        weights: λ of its terms.
        perceptual: L_VGG, or None.
        learning_rate, weight_decay: Adam's.
        learning_rate_drop: [step, factor]: from that step on, the rate is that much smaller.
        learning_rate_decay: [first step, last step] between which the rate falls to a fiftieth, on a line, or None.
        channels_last: lay pictures out with channels last.
    """

    title: ClassVar[str]
    log_terms = log_terms

    def __init__(
        self,
        net: DiscreteNetwork,
        *,
        weights: TermWeights,
        perceptual: torch.nn.Module | None,
        learning_rate: float,
        weight_decay: float,
        learning_rate_drop: tuple[int, float] | None,
        learning_rate_decay: tuple[int, int] | None,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.net, self.weights, self.perceptual = net, weights, perceptual
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.learning_rate_drop, self.learning_rate_decay = learning_rate_drop, learning_rate_decay
        # What schedules move: frames of a clip, clips, and how many frames are real to what draws the next ones.
        self.T: int | None = None
        self.clips: int | None = None
        self.T_f: int | None = None
        self.last_terms: dict[str, Tensor] = {}
        if channels_last:
            self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def schedule(self, *, T: int | None = None, T_f: int | None = None, clips: int | None = None) -> None:
        """Sets what is given; called by the schedules' callback."""
        self.T = self.T if T is None else T
        self.T_f = self.T_f if T_f is None else T_f
        self.clips = self.clips if clips is None else clips

    @abstractmethod
    def terms(self, video: Tensor, *, T_f: int) -> dict[str, Tensor]:
        """The raw terms of video (b, t, 3, h, w) in [-1, 1], whose first T_f frames the next ones are drawn from."""

    def training_step(self, batch: VideoBatch) -> Tensor:
        video = self.checked(replace(batch, video=batch.video[: self.clips, : self.T]))
        terms = self.terms(video, T_f=video.shape[1] if self.T_f is None else self.T_f)
        loss = self.weights.total(terms)
        # Named in the error if one of them is not finite.
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        self.log_terms("train", terms, loss=loss, clips=len(video))
        return loss

    def validation_step(self, batch: VideoBatch) -> Tensor:
        return self.score("val", batch)

    def test_step(self, batch: VideoBatch) -> Tensor:
        return self.score("test", batch)

    def predict_step(self, batch: VideoBatch) -> Tensor:
        return self.net.infer(self.checked(batch))

    def score(self, stage: Literal["val", "test"], batch: VideoBatch) -> Tensor:
        """Logs every raw term with T_f = 1, and of the video rebuilt from its first frame `psnr` in dB.

        In a test also `delta_psnr`, Δ_t PSNR: by how many dB frame t is nearer to the real one with the inferred
        actions than with ones drawn uniformly, at t = 4 or the last step; 0 if actions do nothing.  [Genie section 3]

        Returns: the inferred actions (b, t-1), for the callbacks that evaluate them.
        """
        video = self.checked(batch)
        terms = self.terms(video, T_f=1)
        found = self.net.infer(video)
        drawn = animate(self.net, batch.video[:, 0], found)
        extra = {"psnr": psnr(drawn[:, 1:], batch.video[:, 1:])}
        if stage == "test":
            t = min(SCORED_STEP, found.shape[1])
            guessed = torch.randint_like(found[:, :t], high=self.net.actions)
            other = animate(self.net, batch.video[:, 0], guessed)
            extra["delta_psnr"] = psnr(drawn[:, t], batch.video[:, t]) - psnr(other[:, t], batch.video[:, t])
        self.log_terms(stage, terms, loss=self.weights.total(terms), clips=len(batch), **extra)
        return found

    def checked(self, batch: VideoBatch) -> Tensor:
        """The batch's video, (b, t, 3, h, w) in [-1, 1].  Raises: UserError, frames that the network cannot take."""
        multiple = self.net.frame_multiple
        return checked_video(batch, title=self.title, multiple=multiple, perceptual=self.perceptual is not None)

    def configure_optimizers(self) -> dict[str, Any]:
        parameters = self.net.parameters()
        optimiser = torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        drop, decay = self.learning_rate_drop or (0, 1.0), self.learning_rate_decay
        factor = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, drop=drop, decay=decay))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

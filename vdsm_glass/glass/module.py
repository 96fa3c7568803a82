"""GLASS as a LightningModule: it only wires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.glass.animation import ActionSequence, animate, infer, inferred
from vdsm_glass.glass.difference import Ground
from vdsm_glass.glass.gma import Foregrounds, Layers, Motion
from vdsm_glass.glass.lma import Actions
from vdsm_glass.glass.loss_weights import LossWeights
from vdsm_glass.glass.losses import (
    difference_terms,
    foreground_loss,
    found_loss,
    gma_terms,
    hidden_loss,
    lma_terms,
    steadiness_loss,
    told_terms,
    uncovered_loss,
)
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.layers import vgg
from vdsm_glass.layers.quantizer import Quantizer
from vdsm_glass.schedules import rate
from vdsm_glass.sizes import as_sizes
from vdsm_glass.training import checked_video, log_terms, psnr

OF_ACTIONS = ("commitment", "codebook", "decorrelate", "outline", "edges")
"""The terms that have no gradient once actions are finished."""


class GLASSModule(LightningModule):
    """Global and local motion analysis, trained jointly after a start with GMA alone.  [GLASS section 4, appendix B.2]

    Args:
        gma, lma: widths and variants; the defaults are the paper's for W-Sprites.
        weights: λ of the losses (Table 6).
        theta: θ of Eq. (2), the share of the frame that the foreground covers.
        gma_steps: optimiser steps in which LMA is not run.
        gma_until: optimiser steps after which GMA is left as it is, and its losses are not computed; by default, as in
            the paper, both are trained to the end. Most of a step's time is then LMA's.
        shifts_until: optimiser steps to which P_f and P_b go on learning after `gma_until`, from the finished masks and
            from what neither frame's mask covers of the background; such a step costs little. By default they do not.
        actions_until: optimiser steps after which A, the codebook and the outlines are left as they are, and only
            drawing goes on; by default, as in the paper, actions are trained to the end.
        drawing_from: optimiser steps before which LMA learns its actions only, from the outlines that they tell, and
            nothing is drawn; such a step is several times cheaper. 0, as in the paper, draws from the first one on.
        perceptual: L_VGG with the weights of VGG-19, with random ones, or none.
        perceptual_weights: their file, if it is not in the cache.
        learning_rate, weight_decay: Adam's.
        lma_learning_rate: that of LMA alone; the paper has one for both, which is the default.
        learning_rate_drop: [step, factor]: from that step on, the rate is that much smaller.
        lma_learning_rate_drop: that of LMA alone; the paper has one for both, which is the default.
        learning_rate_decay, lma_learning_rate_decay: [first step, last step] between which the rate falls to a
            fiftieth, on a line; the paper has none.
        shifts_learning_rate_decay: that of P_f and P_b from `gma_until` on, where their rate begins anew.
        motion_weighted_recj: weight L_RECJ by motion, as the authors' implementation does; Eq. (5) has no weight.
        shifts_from_inpainted: P_b sees inpainted backgrounds, as in their implementation.
        checkpoint_gradients: keep less of each of the RNN's steps for the backward pass, and compute it again.
        channels_last: lay pictures out with channels last.
        compile: compile the networks, the recurrence excepted.

    Raises: UserError, θ is not between 0 and 1, or VGG-19 is asked for and its weights are not there.
    """

    kind = "glass"
    log_terms = log_terms
    needs_unused_parameters = True
    """At first LMA has no gradient; DDP has to be told that this may happen."""

    def __init__(
        self,
        gma: GMASizes = GMASizes(),  # noqa: B008  (frozen)
        lma: LMASizes = LMASizes(),  # noqa: B008
        weights: LossWeights = LossWeights(),  # noqa: B008
        theta: float = 0.06,
        gma_steps: int = 3000,
        gma_until: int | None = None,
        shifts_until: int | None = None,
        actions_until: int | None = None,
        drawing_from: int = 0,
        perceptual: vgg.Kind = "vgg19",
        perceptual_weights: Path | None = None,
        learning_rate: float = 4e-4,
        weight_decay: float = 1e-6,
        lma_learning_rate: float | None = None,
        learning_rate_drop: tuple[int, float] = (300_000, 0.3),
        lma_learning_rate_drop: tuple[int, float] | None = None,
        learning_rate_decay: tuple[int, int] | None = None,
        lma_learning_rate_decay: tuple[int, int] | None = None,
        shifts_learning_rate_decay: tuple[int, int] | None = None,
        motion_weighted_recj: bool = False,
        shifts_from_inpainted: bool = False,
        checkpoint_gradients: bool = False,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < theta < 1:
            raise UserError(f"model.theta is {theta}, expected the share of a frame that the foreground covers: 0.06")
        gma, lma = as_sizes(gma, GMASizes), as_sizes(lma, LMASizes)
        if drawing_from > gma_steps and not (lma.outline and weights.outline):
            raise UserError(
                f"model.drawing_from is {drawing_from}: before it actions are learned from outlines alone; "
                "set lma.outline and weights.outline, or drawing_from to 0"
            )
        self.save_hyperparameters(
            {
                "kind": self.kind,
                "gma": asdict(gma),
                "lma": asdict(lma),
                "theta": theta,
                "shifts_from_inpainted": shifts_from_inpainted,
            }
        )
        self.net = GLASS(
            gma=gma,
            lma=lma,
            theta=theta,
            shifts_from_inpainted=shifts_from_inpainted,
            checkpoint_gradients=checkpoint_gradients,
        )
        self.perceptual = vgg.make(perceptual, weights=perceptual_weights)
        self.weights, self.theta = weights, theta
        if shifts_until is not None and gma_until is None:
            raise UserError(f"model.shifts_until is {shifts_until}, which goes on from gma_until: set that, too")
        self.gma_steps, self.gma_until, self.shifts_until = gma_steps, gma_until, shifts_until
        self.drawing_from, self.actions_until = drawing_from, actions_until
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.lma_learning_rate = learning_rate if lma_learning_rate is None else lma_learning_rate
        self.learning_rate_drops = [learning_rate_drop, lma_learning_rate_drop or learning_rate_drop]
        self.learning_rate_decays = [learning_rate_decay, lma_learning_rate_decay]
        self.shifts_learning_rate_decay = shifts_learning_rate_decay
        self.motion_weighted_recj = motion_weighted_recj
        # What the schedules move: frames of a clip, clips, how many frames are real to the RNN, levels of L_RECF.
        self.T: int | None = None
        self.clips: int | None = None
        self.T_f = 1
        self.recf_levels = 1
        self.at: int | None = None
        """The step of the recipe where a `Clock` says it; else it is the optimiser's."""
        self.last_terms: dict[str, Tensor] = {}
        self.ground: Ground | None = None
        """What `weights.difference` and `weights.ground` compare with; set by a callback, `MedianGround`."""
        if channels_last:
            self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if compile:
            for part in (self.net.gma.M, self.net.gma.N, self.net.lma.E, self.net.lma.D):
                part.compile()

    @property
    def quantizer(self) -> Quantizer:
        """Whose choices are counted."""
        return self.net.lma.VQ

    @property
    def position(self) -> int:
        """The step of the recipe, by which everything is scheduled."""
        return self.trainer.global_step if self.at is None else self.at

    def schedule(
        self,
        *,
        T: int | None = None,
        T_f: int | None = None,
        recf_levels: int | None = None,
        clips: int | None = None,
        bin: float | None = None,
        difference: float | None = None,
        found: float | None = None,
    ) -> None:
        """Sets what is given; called by the schedules' callback."""
        self.T = self.T if T is None else T
        self.T_f = self.T_f if T_f is None else T_f
        self.clips = self.clips if clips is None else clips
        self.recf_levels = self.recf_levels if recf_levels is None else recf_levels
        given = {"bin": bin, "difference": difference, "found": found}
        self.weights = replace(self.weights, **{name: value for name, value in given.items() if value is not None})

    def training_step(self, batch: VideoBatch) -> Tensor:
        # What is left out need not be looked at.
        video = self.checked(replace(batch, video=batch.video[: self.clips, : self.T]))
        step = self.position
        if self.gma_until is not None and step >= self.gma_until:
            self.net.gma.eval()
            if step < (self.shifts_until or 0):
                terms, layers, motion = self.shift_terms(video)
                foregrounds = Foregrounds.of(layers, motion)
            else:
                terms, foregrounds = {}, self.net.gma.foregrounds(video)
        else:
            terms, layers, motion = self.global_terms(video)
            if self.ground is not None:
                clip = batch.clip[: self.clips]
                if self.weights.difference:
                    terms |= difference_terms(layers.m, motion.delta_F, self.ground.seen_in(video, clip))
                if self.weights.ground:
                    terms["ground"] = hidden_loss(layers, self.ground.behind(video, clip))
            foregrounds = Foregrounds.of(layers, motion)
        if self.actions_until is not None and step >= self.actions_until:
            self.net.lma.finish_actions()
        if self.gma_steps <= step < self.drawing_from:
            terms |= self.action_terms(foregrounds)
        elif step >= self.gma_steps:
            terms |= self.local_terms(foregrounds, video, T_f=self.T_f)[0]
        loss = self.weights.total(terms)
        # Named in the error if one of them is not finite.
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        self.log_terms("train", terms, loss=loss, clips=len(video))
        return loss

    def validation_step(self, batch: VideoBatch) -> dict[str, Any]:
        return self.score("val", batch)

    def test_step(self, batch: VideoBatch) -> dict[str, Any]:
        return self.score("test", batch)

    def predict_step(self, batch: VideoBatch) -> ActionSequence:
        self.checked(batch)
        return infer(self.net, batch.video).actions

    def score(self, stage: str, batch: VideoBatch) -> dict[str, Any]:
        """Logs every raw term with T_f = 1, and the PSNR in dB of the video rebuilt from its first frame.

        Returns: `inference` and `animation`, for the callbacks that evaluate them.
        """
        video = self.checked(batch)
        terms, layers, motion = self.global_terms(video)
        local, actions = self.local_terms(Foregrounds.of(layers, motion), video, T_f=1)
        terms |= local
        inference = inferred(layers, motion, actions)
        animation = animate(self.net, batch.video[:, 0], inference.actions)
        db = psnr(animation.video[:, 1:], batch.video[:, 1:])
        self.log_terms(stage, terms, loss=self.weights.total(terms), clips=len(batch), psnr=db)
        return {"inference": inference, "animation": animation}

    def global_terms(self, video: Tensor) -> tuple[dict[str, Tensor], Layers, Motion]:
        """Eqs. (1)-(5) of video (b, t, 3, h, w) in [-1, 1], and the analysis they were computed from."""
        layers, motion = self.net.gma(video)
        terms = gma_terms(
            video,
            layers,
            motion,
            weights=self.weights.of_terms,
            theta=self.theta,
            perceptual=self.perceptual,
            recf_levels=self.recf_levels,
            motion_weighted_recj=self.motion_weighted_recj,
        )
        if self.training and self.weights.registration:
            terms["registration"] = self.net.gma.registration(layers, motion)
        return terms, layers, motion

    def shift_terms(self, video: Tensor) -> tuple[dict[str, Tensor], Layers, Motion]:
        """What P_f and P_b learn from finished masks of video (b, t, 3, h, w) in [-1, 1], and the analysis without N.

        Backgrounds keep their holes, and L_RECB is taken where neither frame has one.
        """
        gma, weights = self.net.gma, self.weights.of_terms
        for predictor in (gma.P_f, gma.P_b):
            predictor.train()
        layers, motion = gma.with_holes(video)
        terms = {
            "recf": lambda: foreground_loss(layers.f[:, 1:], motion.f_moved),
            "recb": lambda: uncovered_loss(layers, motion),
            "registration": lambda: gma.registration(layers, motion),
        }
        if motion.delta_F.shape[1] > 1:
            terms["steady"] = lambda: steadiness_loss(motion.delta_F)
        return {name: term() for name, term in terms.items() if weights[name]}, layers, motion

    def action_terms(self, foregrounds: Foregrounds) -> dict[str, Tensor]:
        """Eq. (6), `outline` and `edges`, for which nothing is drawn."""
        lma, seen = self.net.lma, self.net.seen_by_lma(foregrounds)
        actions = lma.actions(seen.f, seen.f_moved, seen.m)
        terms = {"commitment": lambda: actions.commitment, "codebook": lambda: actions.codebook}
        terms |= told_terms(*lma.told(actions.a), seen)
        return {name: term() for name, term in terms.items() if self.weights.of_terms[name]}

    def local_terms(self, foregrounds: Foregrounds, video: Tensor, *, T_f: int) -> tuple[dict[str, Tensor], Actions]:
        """Eqs. (6)-(11) of the foregrounds of a video (b, t, 3, h, w) in [-1, 1], and the actions inferred for them."""
        seen = self.net.seen_by_lma(foregrounds)
        rollout = self.net.lma(seen.f, seen.f_moved, seen.delta_F, T_f=T_f, m=seen.m)
        weights = self.weights.of_terms
        if self.training and self.net.lma.actions_finished:
            weights = weights | dict.fromkeys(OF_ACTIONS, 0.0)
        terms = lma_terms(seen, rollout, weights=weights, perceptual=self.perceptual)
        if self.training and weights["found"]:
            terms["found"] = found_loss(*self.net.found_again(rollout, foregrounds, video))
        return terms, rollout.actions

    def checked(self, batch: VideoBatch) -> Tensor:
        """The batch's video, (b, t, 3, h, w) in [-1, 1].  Raises: UserError, frames that GLASS cannot take."""
        video = checked_video(
            batch, title="GLASS", multiple=LMASizes.FRAME_MULTIPLE, perceptual=self.perceptual is not None
        )
        h, w = video.shape[-2:]
        if min(h, w) < 2 ** (self.recf_levels - 1):
            raise UserError(
                f"the data gives frames of {h}x{w}, which cannot be halved {self.recf_levels - 1} times; set the "
                "schedule of recf_levels lower, or data.init_args.size higher"
            )
        return video

    def configure_optimizers(self) -> dict[str, Any]:
        gma, lma = list(self.net.gma.parameters()), list(self.net.lma.parameters())
        factors: list[Callable[[int], float]] = [
            partial(rate, drop=drop, decay=decay)
            for drop, decay in zip(self.learning_rate_drops, self.learning_rate_decays, strict=True)
        ]
        groups = [{"params": gma, "lr": self.learning_rate}, {"params": lma, "lr": self.lma_learning_rate}]
        if self.shifts_until is not None:
            shifts = [*self.net.gma.P_f.parameters(), *self.net.gma.P_b.parameters()]
            groups[0]["params"] = [each for each in gma if all(each is not other for other in shifts)]
            groups.append({"params": shifts, "lr": self.learning_rate})
            factors.append(self.rate_of_shifts)
        optimiser = torch.optim.Adam(groups, weight_decay=self.weight_decay, fused=True)
        rates = [partial(self.rate_now, factor) for factor in factors]
        drop = torch.optim.lr_scheduler.LambdaLR(optimiser, lr_lambda=rates)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": drop, "interval": "step"}}

    def rate_now(self, factor: Callable[[int], float], step: int) -> float:
        """`factor` at the recipe's step; `step` is the optimiser's."""
        return factor(step if self.at is None else self.at)

    def rate_of_shifts(self, step: int) -> float:
        """What the learning rate of P_f and P_b is multiplied by at `step`, where they go on after GMA."""
        began_anew = step >= (self.gma_until or 0)
        decay = self.shifts_learning_rate_decay if began_anew else self.learning_rate_decays[0]
        return rate(step, drop=self.learning_rate_drops[0], decay=decay)

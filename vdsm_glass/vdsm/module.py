"""Both stages of VDSM as LightningModules: they only wire."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyro
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.checkpoints import FITTED, load_part
from vdsm_glass.muon import Muon
from vdsm_glass.schedules import rate
from vdsm_glass.sizes import as_sizes
from vdsm_glass.training import log_terms, psnr
from vdsm_glass.vdsm.apart import ApartWeights, apart_terms
from vdsm_glass.vdsm.contrast import Contrast, IdentityContrast
from vdsm_glass.vdsm.elbo import Elbo, ElboWeights, evaluate
from vdsm_glass.vdsm.fitted import FittedPrior
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

Optimizer = Literal["adam", "muon"]
MOST_BATCHES = 500
"""The last batches of an epoch whose d p(d) is fitted to."""
RECENT = "recent_d"
"""Where a checkpoint in mid-epoch has those so far."""
OVERSHOOT = "overshoot"
"""The term of `SequenceVDSM.overshoot`."""


class VDSMModule(LightningModule):
    """What the two stages share: the step, the weights of Eq. (4), logging, the optimiser.

    Args:
        net: the stage's network, with Pyro `model` and `guide`.
        learning_rate: the optimiser's.
        optimizer: `adam`, the paper's, or `muon`, ours: see `Muon`.
        learning_rate_decay: ours, not the paper's: [first step, last step] between which the rate falls to a fiftieth,
            on a line. It follows from the step alone, so a run that began without it can go on with it.
        compile: compile encoder and decoder with torch.compile; the ELBO around them cannot be.
        options: further arguments of the subclass, to be kept in checkpoints.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        *,
        net: Any,
        learning_rate: float,
        compile: bool,
        optimizer: Optimizer = "adam",
        learning_rate_decay: tuple[int, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        # Plain values, so that the checkpoint can be read without running code from it.
        given = {"kind": self.kind, "sizes": asdict(net.sizes), "learning_rate": learning_rate, "optimizer": optimizer}
        self.save_hyperparameters(given | {"compile": compile} | options)
        self.net = net
        self.learning_rate, self.learning_rate_decay = learning_rate, learning_rate_decay
        self.optimizer = optimizer
        self.weights = ElboWeights()
        self.last_terms: dict[str, Tensor] = {}
        if compile:
            self.frames.encoder.compile()
            self.frames.decoder.compile()

    @property
    def frames(self) -> FrameVDSM:
        """The network of the first stage, wherever it stands."""
        return self.net.frames

    def on_train_batch_start(self, *_: Any) -> None:
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rate_at(self.global_step)

    def rate_at(self, step: int) -> float:
        """The learning rate at an optimiser step."""
        return self.learning_rate * rate(step, drop=(0, 1.0), decay=self.learning_rate_decay)

    def on_train_start(self) -> None:
        self.net.fitted = None  # the latents to which it was fitted are about to change

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.net.fitted is not None:
            checkpoint[FITTED] = self.net.fitted.tensors()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.net.fitted = FittedPrior.from_tensors(checkpoint[FITTED], self.net) if FITTED in checkpoint else None

    def anneal(self, *, tau_s: float | None = None, **weights: float) -> None:
        """Sets τ_s and the weights given (`kl_z`, `kl_s`, `kl_d`); called by the annealing callback."""
        self.weights = replace(self.weights, **weights)
        if tau_s is not None:
            self.frames.tau_s.fill_(tau_s)

    def terms(self, video: Tensor) -> Elbo:
        """The terms of the loss that is trained.  Args: video (b, t, 3, h, w) in [0, 1]."""
        return evaluate(self.net.model, self.net.guide, video)

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The loss that is trained.  Args: terms, as `terms` gives them."""
        return self.weights.total(terms)

    def training_step(self, batch: VideoBatch) -> Tensor:
        # Pyro's checks of every density cost as much as a small network, and find nothing the tests have not.
        with pyro.validation_enabled(False):
            elbo = self.terms(self.checked(batch))
        loss = self.total(elbo.terms)
        # Named in the error if one of them is not finite.
        self.last_terms = {name: term.detach() for name, term in elbo.terms.items()}
        self.log_terms("train", elbo, loss=loss)
        return loss

    def validation_step(self, batch: VideoBatch) -> None:
        self.score("val", batch)

    def test_step(self, batch: VideoBatch) -> None:
        self.score("test", batch)

    def predict_step(self, batch: VideoBatch) -> Latents:
        return self.net.encode(self.checked(batch))

    def score(self, stage: str, batch: VideoBatch) -> None:
        """Logs every raw term, -ELBO with all weights 1 (comparable across a whole schedule) and PSNR in dB."""
        video = self.checked(batch)
        with pyro.validation_enabled(False):
            elbo = evaluate(self.net.model, self.net.guide, video)
        latents = self.net.encode(video)
        drawn = self.net.decode(latents.z, latents.s)
        self.log_terms(stage, elbo, loss=ElboWeights().total(elbo.terms), psnr=psnr(drawn, video))

    def log_terms(self, stage: str, elbo: Elbo, **extra: Tensor) -> None:
        """Logs raw terms in nats per sequence, and `experts_used`.

        That is exp of the entropy of the batch's mean mixture: κ_s when all experts serve alike, 1 when one serves
        everybody; once s̃ is sharp, no more than the clips in the batch.
        """
        s = elbo.latents["s"].detach()
        extra["experts_used"] = torch.exp(torch.special.entr(self.frames.mixture(s).mean(dim=0)).sum())
        log_terms(self, stage, elbo.terms, clips=len(s), **extra)

    def checked(self, batch: VideoBatch) -> Tensor:
        """The batch's video (b, t, 3, h, w).  Raises: UserError, frames of a size that this network does not take."""
        size = self.frames.sizes.frame_size
        if batch.video.shape[-3:] != (3, size, size):
            c, h, w = batch.video.shape[-3:]
            raise UserError(
                f"the data gives frames of {c}x{h}x{w}, but the network takes 3x{size}x{size}; set data.init_args.size "
                f"to {size}, or change model.init_args.sizes.encoder_channels and decoder_channels"
            )
        return batch.video

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.optimizer == "muon":
            return Muon(self, lr=self.learning_rate, fused=True)
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate, fused=True)


class VDSMPretrain(VDSMModule):
    """Stage 1: reconstruction + λ_z KL_z + λ_s KL_s over frames that are independent given s.  [VDSM suppl.]

    Args:
        sizes: latent sizes and widths (Table 2).
        learning_rate: lr-Pre of Table 1.
        compile: compile encoder and decoder.
        learning_rate_decay, optimizer: see `VDSMModule`.
        identity_from_half: ours, not the paper's: in training, infer s from the first half of a clip's frames, and draw
            all of them by it. With `pair_actions` that is one of the two actions, so that s cannot say which.
        apart: ours, not the paper's: weights of terms that keep identity and poses apart; all are 0.
        contrast: ours, not the paper's: a part before all else in which s is learned, to be fixed from then on. It
            wants `sizes.identity_encoder`. Where identities are labelled, two clips of one are not told apart.

    Raises: UserError, s is to be fixed and shares its convolutions with poses.
    """

    kind = "vdsm_frames"

    def __init__(
        self,
        sizes: Sizes,
        learning_rate: float = 1e-3,
        compile: bool = False,
        identity_from_half: bool = False,
        apart: ApartWeights = ApartWeights(),  # noqa: B008  (frozen)
        learning_rate_decay: tuple[int, int] | None = None,
        optimizer: Optimizer = "adam",
        contrast: Contrast = Contrast(),  # noqa: B008  (frozen)
    ) -> None:
        net = FrameVDSM(as_sizes(sizes, Sizes))
        net.identity_from_half = identity_from_half
        super().__init__(
            net=net,
            learning_rate=learning_rate,
            compile=compile,
            learning_rate_decay=learning_rate_decay,
            optimizer=optimizer,
            identity_from_half=identity_from_half,
        )
        self.apart = as_sizes(apart, ApartWeights)
        options = as_sizes(contrast, Contrast)
        self.contrast = IdentityContrast(options, net) if options.steps else None
        if self.contrast and not net.sizes.identity_encoder:
            raise UserError(
                "contrast fixes what infers s, but poses need the same convolutions; set "
                "model.init_args.sizes.identity_encoder to true"
            )

    @property
    def needs_unused_parameters(self) -> bool:
        """Whether some steps train only a part, which DDP has to be told."""
        return self.contrast is not None

    @property
    def telling_apart(self) -> bool:
        """Whether the step is one of the first, in which s alone is learned."""
        return self.contrast is not None and self.global_step < self.contrast.options.steps

    def rate_at(self, step: int) -> float:
        if self.contrast is not None and step < self.contrast.options.steps:
            return self.contrast.rate(step)
        return super().rate_at(step)

    def on_train_batch_start(self, *_: Any) -> None:
        super().on_train_batch_start()
        if self.contrast is None:
            return
        encoder = self.net.encoder
        if self.telling_apart:
            encoder.fix_identity(False)
        elif encoder.identity_loc.weight.requires_grad:  # the first step after; to ask `settled` at each would wait
            if not self.contrast.settled:
                moments = self.contrast.mean, self.contrast.covariance, self.contrast.within
                self.contrast.settle(self.net, *map(self.trainer.strategy.reduce, moments))
            encoder.fix_identity(True)

    @property
    def clips_used(self) -> int | None:
        """How many clips of a batch are used, the first ones; None for all. The data module decodes no others."""
        if self.contrast is None or self.telling_apart or not self.training:
            return None
        return self.contrast.options.drawn

    def training_step(self, batch: VideoBatch) -> Tensor:
        if self.contrast is None or not self.telling_apart:
            return super().training_step(batch)
        terms = self.contrast.terms(self.net, self.checked(batch), identity=batch.identity)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        log_terms(self, "train", terms, loss=terms["told"], clips=len(batch.video))
        return terms["told"]

    def terms(self, video: Tensor) -> Elbo:
        elbo = super().terms(video)
        wanted = self.apart.at(self.global_step)
        return replace(elbo, terms=elbo.terms | apart_terms(self.net, video, elbo, wanted=set(wanted)))

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        ours = self.apart.at(self.global_step)
        paper = super().total({name: term for name, term in terms.items() if name not in ours})
        return sum((weight * terms[name] for name, weight in ours.items()), start=paper)


class VDSMSequence(VDSMModule):
    """Stage 2: Eq. (4) with dynamics, on the frozen frames of stage 1.  [VDSM suppl.]

    Args:
        sizes: latent sizes and widths (Table 2), those of stage 1.
        pretrained: stage 1's checkpoint. Read when a fit starts from the beginning; a checkpoint of this stage holds
            everything and needs it no more.
        learning_rate: lr-Seq of Table 1.
        compile: compile encoder and decoder.
        learning_rate_decay, optimizer: see `VDSMModule`.
        dynamics_from_half: ours, not the paper's: in training, infer d from the first half of a clip's frames, and
            unfold it into all of them, so that it tells what comes after what was seen.
        overshooting: ours, not the paper's: weight of `SequenceVDSM.overshoot`, by which the transition learns to go on
            from the first pose alone.
    """

    kind = "vdsm"

    def __init__(
        self,
        sizes: Sizes,
        pretrained: Path | None = None,
        learning_rate: float = 1e-3,
        compile: bool = False,
        learning_rate_decay: tuple[int, int] | None = None,
        optimizer: Optimizer = "adam",
        dynamics_from_half: bool = False,
        overshooting: float = 0.0,
    ) -> None:
        net = SequenceVDSM(as_sizes(sizes, Sizes))
        net.dynamics_from_half = dynamics_from_half
        super().__init__(
            net=net,
            learning_rate=learning_rate,
            compile=compile,
            learning_rate_decay=learning_rate_decay,
            optimizer=optimizer,
            dynamics_from_half=dynamics_from_half,
            overshooting=overshooting,
        )
        self.pretrained, self.overshooting = pretrained, overshooting
        self.recent: deque[Tensor] = deque(maxlen=MOST_BATCHES)

    def on_fit_start(self) -> None:
        """Takes stage 1's weights, unless training goes on from a checkpoint of this stage, which Lightning has read.

        Raises: UserError, no checkpoint is given; CheckpointError, it does not fit.
        """
        if self.trainer.ckpt_path is not None:
            return
        if self.pretrained is None:
            raise UserError(
                "the sequence stage starts from a pretrained one, and model.init_args.pretrained names none; run the "
                "pretraining recipe, then give its checkpoint: --model.pretrained runs/.../checkpoints/last.ckpt"
            )
        load_part(self.frames, self.pretrained, prefix="net.", trained_by="VDSMPretrain")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.recent:
            checkpoint[RECENT] = [*self.recent]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.recent.clear()
        self.recent.extend(checkpoint.get(RECENT, ()))

    def terms(self, video: Tensor) -> Elbo:
        elbo = super().terms(video)
        if self.net.motions is not None:
            self.recent.append(elbo.latents["d"].detach())
        if self.overshooting:
            elbo = replace(elbo, terms=elbo.terms | {OVERSHOOT: self.net.overshoot(elbo)})
        return elbo

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        paper = super().total({name: term for name, term in terms.items() if name != OVERSHOOT})
        return paper + self.overshooting * terms[OVERSHOOT] if self.overshooting else paper

    def on_train_epoch_end(self) -> None:
        """Fits p(d) to d of the epoch, where it is a mixture: nothing else is kept in `recent`."""
        if self.recent:
            everywhere: Any = self.all_gather(torch.cat([*self.recent]))  # (processes, m, d), or (m, d) of a single one
            self.net.motions.refit(everywhere.flatten(end_dim=-2))
            self.recent.clear()

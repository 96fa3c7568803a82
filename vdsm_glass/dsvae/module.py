"""The DSVAE family as a LightningModule, on the step of VDSM's."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import Tensor

from vdsm_glass.dsvae.losses import DSVAEWeights, contrast, mutual_information, same_content, same_motion
from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.sizes import as_sizes
from vdsm_glass.training import log_terms
from vdsm_glass.vdsm.elbo import Elbo, evaluate
from vdsm_glass.vdsm.module import VDSMModule


class DSVAEModule(VDSMModule):
    """reconstruction + λ_z KL_z + λ_s KL_s, and what C-DSVAE adds to it.

    Args:
        sizes: latent sizes and widths; `single_element` makes it DBSE.
        weights: of all terms; those that are 0 are not computed.
        learning_rate: Adam's.
        compile: compile encoder and decoder.
    """

    kind = "dsvae"
    weights: DSVAEWeights

    def __init__(
        self,
        sizes: Sizes,
        weights: DSVAEWeights = DSVAEWeights(),  # noqa: B008
        learning_rate: float = 1e-3,
        compile: bool = False,
    ) -> None:
        weights, net = as_sizes(weights, DSVAEWeights), DSVAE(as_sizes(sizes, Sizes))
        super().__init__(net=net, learning_rate=learning_rate, compile=compile, weights=asdict(weights))
        self.weights = weights

    def anneal(self, *, tau_s: float | None = None, **weights: float) -> None:  # noqa: ARG002  (VDSM's experts have τ_s)
        """Sets the weights given (`kl_z`, `kl_s`); called by the annealing callback."""
        self.weights = replace(self.weights, **weights)

    def terms(self, video: Tensor) -> Elbo:
        """The ELBO's terms, and those of C-DSVAE that have a weight.  Args: video (b, t, 3, h, w) in [0, 1]."""
        q_s, q_z = self.net.encoder(video)
        elbo, more = evaluate(self.net.model, lambda _: self.net.guess(q_s, q_z), video), {}
        s = elbo.latents["s"]
        z = torch.stack([elbo.latents[f"z_{t}"] for t in range(1, video.shape[1] + 1)], dim=1)
        if self.weights.contrast_s:
            more["contrast_s"] = contrast(s, self.net.encoder(same_content(video))[0].distribution().rsample())
        if self.weights.contrast_z:
            other = self.net.encoder(same_motion(video))[1].distribution().rsample()
            more["contrast_z"] = contrast(z.flatten(start_dim=1), other.flatten(start_dim=1))
        if self.weights.mutual:
            more["mutual"] = mutual_information(s, z, q_s, q_z)
        return replace(elbo, terms=elbo.terms | more)

    def log_terms(self, stage: str, elbo: Elbo, **extra: Tensor) -> None:
        """Logs raw terms in nats per sequence; there are no experts to count."""
        log_terms(self, stage, elbo.terms, clips=len(elbo.latents["s"]), **extra)

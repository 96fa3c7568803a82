"""The losses of the latent action model, as raw terms."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vdsm_glass.latent_actions.network import Prediction
from vdsm_glass.layers.drawn import motion_weight, weighted_loss
from vdsm_glass.layers.term_weights import TermWeights


@dataclass(frozen=True)
class LossWeights(TermWeights):
    """λ of every term; a term whose weight is 0 is not computed.

    Args:
        reconstruction: E(x̂_{t+1} - x_{t+1})².
        codebook, commitment: the two other terms of a VQ-VAE; weights of van den Oord et al. 2017.
        motion: on E ω |x̂_{t+1} - x_{t+1}|, ω being how much a pixel changes, see `motion_weight`. Ours, not Genie's:
            a small figure is else a small part of the loss, and the camera alone takes all actions.
    """

    reconstruction: float = 1.0
    codebook: float = 1.0
    commitment: float = 0.25
    motion: float = 0.0


def latent_action_terms(video: Tensor, prediction: Prediction, *, weights: LossWeights) -> dict[str, Tensor]:
    """The terms whose weight is not 0.  [van den Oord et al. 2017, Eq. (3); Genie section 2.1]

    Args: video (b, t, 3, h, w) in [-1, 1]; prediction, of its frames 2..T.
    """
    drawn, target = prediction.frames, video[:, 1:]
    terms = {
        "reconstruction": lambda: (drawn - target).square().mean(),
        "codebook": lambda: prediction.quantized.codebook,
        "commitment": lambda: prediction.quantized.commitment,
        "motion": lambda: weighted_loss([(drawn, target)], motion_weight(video, drawn)),
    }
    return {name: term() for name, term in terms.items() if weights.of_terms[name]}

"""The losses of CADDY, as raw terms.  [CADDY]"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdsm_glass.caddy.action import Gaussian
from vdsm_glass.caddy.network import Played
from vdsm_glass.layers.drawn import Perceptual, motion_weight, perceptual_loss, resized, weighted_loss
from vdsm_glass.layers.term_weights import TermWeights

SMALLEST = 1e-8
"""Of a probability whose logarithm is taken."""


@dataclass(frozen=True)
class LossWeights(TermWeights):
    """λ of every term; a term whose weight is 0 is not computed. The values are ours: the paper's were not at hand.

    Args:
        rec: E|x̂ - x|, the mean over three scales.
        vgg: L_VGG, the mean over three scales.
        mi: -I(a; â), see `mutual_information`.
        direction_kl: KL(d̂_t ‖ d_t), a mean over pairs.
        state_kl: KL(e_t ‖ N(0, 1)), a mean over frames.
        motion: on E ω|x̂ - x|, ω being how much a pixel changes, see `motion_weight`.
    """

    rec: float = 1.0
    vgg: float = 1.0
    mi: float = 0.15
    direction_kl: float = 1e-4
    state_kl: float = 1e-4
    motion: float = 0.0


def caddy_terms(
    video: Tensor, played: Played, *, weights: LossWeights, perceptual: Perceptual | None
) -> dict[str, Tensor]:
    """The terms whose weight is not 0.

    Args: video (b, t, 3, h, w) in [-1, 1]; played, its frames 2..T; perceptual, L_VGG, None leaves `vgg` out.
    """
    target = video[:, 1:]
    scales = [(drawn, resized(target, like=drawn)) for drawn in played.scales]
    actions, again = played.actions, played.again
    standard = Gaussian(*map(torch.zeros_like, actions.states))
    terms = {
        "rec": lambda: torch.stack([(drawn - wanted).abs().mean() for drawn, wanted in scales]).mean(),
        "mi": lambda: -mutual_information(actions.logits.softmax(dim=-1), again.logits.softmax(dim=-1)),
        "direction_kl": lambda: gaussian_kl(again.directions, actions.directions),
        "state_kl": lambda: gaussian_kl(actions.states, standard),
        "motion": lambda: weighted_loss(scales, motion_weight(video, played.scales[-1])),
    }
    if perceptual is not None:
        terms["vgg"] = lambda: perceptual_loss(scales, perceptual)
    return {name: term() for name, term in terms.items() if weights.of_terms[name]}


def mutual_information(p: Tensor, q: Tensor) -> Tensor:
    """I(a; â) = Σ_ij P_ij log(P_ij / (P_i P_j)), P the mean of p q^T over all pairs, made symmetric; in nats.

    log K if the K actions are used alike and are found again in what was drawn by them; 0 if one is used, or if they
    cannot be found again.  [CADDY; Ji et al. 2019]

    Args: p, q (b, t, K), the probabilities of actions between real frames and between drawn ones.
    """
    joint = torch.einsum("b t i, b t j -> i j", p, q) / p.shape[:-1].numel()
    joint = (joint + joint.T) / 2
    apart = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return (joint * (joint.clamp(min=SMALLEST).log() - apart.clamp(min=SMALLEST).log())).sum()


def gaussian_kl(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q ‖ p) = ½ Σ_i [log σ_p² - log σ_q² + (σ_q² + (μ_q - μ_p)²) / σ_p² - 1], a mean over all but the last axis."""
    ratio = (q.log_variance - p.log_variance).exp() + (q.mean - p.mean).square() * (-p.log_variance).exp()
    return (p.log_variance - q.log_variance + ratio - 1).sum(dim=-1).mean() / 2

"""The losses of GLASS, Eqs. (1)-(11), as raw terms.

The paper sums over time and takes norms over pixels. Here means are taken over pixels, channels, time and batch, so
that the weights of Table 6 mean the same for every frame size and length. All is computed in float32. Terms that are no
means over clips are those of all processes' clips together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from vdsm_glass.glass.difference import Differing
from vdsm_glass.glass.gma import Foregrounds, Layers, Motion
from vdsm_glass.glass.outline import edges, outlines
from vdsm_glass.layers.drawn import (
    FRAMES,
    Perceptual,
    channel_sum,
    motion_weight,
    perceptual_loss,
    resized,
    weighted_loss,
)
from vdsm_glass.layers.processes import averaged
from vdsm_glass.layers.shift import shift

if TYPE_CHECKING:
    from vdsm_glass.glass.lma import Rollout

MOTION_FLOOR = 1e-3
STILL = 1e-5
LEAST = 1e-3
"""Below every mean over processes of a number of frames that is not 0."""
UNCOVERED = 0.95
"""What the masks of both frames leave of a pixel's background, at least, for the pixel to be compared."""


def gma_terms(
    video: Tensor,
    layers: Layers,
    motion: Motion,
    *,
    weights: Mapping[str, float],
    theta: float,
    perceptual: Perceptual | None,
    recf_levels: int = 1,
    motion_weighted_recj: bool = False,
) -> dict[str, Tensor]:
    """The terms of Eqs. (1)-(5) and `steady` whose weight is not 0.

    Args:
        video: (b, t, 3, h, w) in [-1, 1].
        layers, motion: GMA's analysis of the video.
        weights: of the terms, by name.
        theta: θ of Eq. (2).
        perceptual: L_VGG; None leaves `vgg` out.
        recf_levels: see `foreground_loss`.
        motion_weighted_recj: see `joint_loss`.
    """
    terms: dict[str, Callable[[], Tensor]] = {
        "bin": lambda: binarisation_loss(layers.m),
        "size": lambda: size_loss(layers.m, theta=theta),
        "recf": lambda: foreground_loss(layers.f[:, 1:], motion.f_moved, levels=recf_levels),
        "recb": lambda: (layers.b_hat[:, 1:] - motion.b_moved).abs().mean(),
        "recj": lambda: joint_loss(video, motion, motion_weighted=motion_weighted_recj),
    }
    if perceptual is not None:
        drawn, target = rearrange(motion.b_moved, FRAMES), rearrange(layers.b_hat[:, 1:], FRAMES)
        terms["vgg"] = lambda: perceptual(drawn, target)
    if motion.delta_F.shape[1] > 1:
        terms["steady"] = lambda: steadiness_loss(motion.delta_F)
    return {name: term() for name, term in terms.items() if weights[name]}


def binarisation_loss(m: Tensor) -> Tensor:
    """L_BIN = E[min{m, 1 - m}].  [Eq. (1)]   m: any shape, in (0, 1)."""
    return torch.minimum(m, 1 - m).mean()


def size_loss(m: Tensor, *, theta: float) -> Tensor:
    """L_SIZE = E_t |E[m_t] - θ|.  [Eq. (2)]   m: (b, t, 1, h, w)."""
    return (reduce(m, "b t 1 h w -> b t", "mean") - theta).abs().mean()


def foreground_loss(f_next: Tensor, f_moved: Tensor, *, levels: int = 1) -> Tensor:
    """L_RECF = ‖f_{t+1} - f_t∘Δ_F‖², over `levels` average-pooled copies, each of half the size.  [Eq. (3)]

    The paper has one level. A figure may overlap its next position too little for the gradient to point the right way;
    in smaller copies it overlaps more. Pooling is linear, so the difference is pooled.

    Args: f_next, f_moved: (b, t, 3, h, w).
    """
    difference = rearrange(f_next - f_moved, FRAMES)
    loss = difference.square().mean()
    for _ in range(levels - 1):
        difference = F.avg_pool2d(difference, kernel_size=2)
        loss = loss + difference.square().mean()
    return loss


def joint_loss(video: Tensor, motion: Motion, *, motion_weighted: bool = False) -> Tensor:
    """L_RECJ = ‖(f_t ⊙ m_t)∘Δ_F + (b̂_t∘Δ_B) ⊙ (1 - m_t∘Δ_F) - I_{t+1}‖₁.  [Eq. (5)]

    Foreground and mask are multiplied after they are shifted, which is the same for binary masks and whole pixels.

    Args:
        video: (b, t, 3, h, w) in [-1, 1].
        motion_weighted: the authors' weight per pixel, Σ_c |I_{t+1} - I_t| + |Î_{t+1} - Î_t| + 0.001, without gradient.
    """
    drawn = motion.f_moved * motion.m_moved + motion.b_moved * (1 - motion.m_moved)
    error = (drawn - video[:, 1:]).abs()
    if motion_weighted:
        error = error * (motion_weight(video, drawn) + MOTION_FLOOR)
    return error.mean()


def uncovered_loss(layers: Layers, motion: Motion) -> Tensor:
    """L_RECB where neither the moved background nor the next one has a hole, a mean over all pixels.

    Not in the paper, whose backgrounds are inpainted.

    Args: layers, motion: of a video whose `b_hat` has holes, see `GMA.with_holes`.
    """
    holes = rearrange(layers.m[:, :-1], FRAMES)
    open_before = shift(1 - holes, rearrange(motion.delta_B, "b t xy -> (b t) xy"), padding="zeros")
    open_before = rearrange(open_before, "(b t) c h w -> b t c h w", b=len(layers.m))
    seen = (open_before * (1 - layers.m[:, 1:]) > UNCOVERED).detach()
    return (seen * (layers.b_hat[:, 1:] - motion.b_moved).abs()).mean()


def steadiness_loss(delta_F: Tensor) -> Tensor:
    """E‖Δ_{F,t+1} - Δ_{F,t}‖₁, which is small if the figure keeps its pace.

    Not in the paper. The shift that matches two foregrounds best also follows limbs and bobbing: on W-Sprites it is
    0.8 px away from the walk. Limbs change within few frames while a walk lasts. The L1 norm permits a few large
    changes, as at corners.

    Args: delta_F: (b, t-1, 2) in grid units, t at least 3.
    """
    return (delta_F[:, 1:] - delta_F[:, :-1]).abs().sum(dim=-1).mean()


def difference_terms(m: Tensor, delta_F: Tensor, differing: Differing) -> dict[str, Tensor]:
    """What masks and shifts may start from where the ground is fixed: the difference to it, and how that moves.

    Not in the paper. `difference_mask` is the cross-entropy of m and what differs, a mean over pixels of the frames in
    which something does; what differs counts one over the root of its share of the pixels, because a small agent would
    else be missed for long. `difference_shift` is E‖Δ_F - δ‖₁, δ the way of its middle, where both frames have one.

    Args: m (b, t, 1, h, w) in (0, 1); delta_F (b, t-1, 2) in grid units.
    """
    target, known = differing.mask, differing.known
    m = m.float().clamp(1e-5, 1 - 1e-5)
    weight = averaged(target.mean()).clamp(min=1e-4).rsqrt()
    entropy = -(weight * target * m.log() + (1 - target) * (1 - m).log())
    both = known[:, 1:] * known[:, :-1]
    way = (delta_F - differing.shift).abs().sum(dim=-1)
    return {
        "difference_mask": (reduce(entropy, "b t 1 h w -> b t", "mean") * known).sum()
        / averaged(known.sum()).clamp(min=LEAST),
        "difference_shift": (way * both).sum() / averaged(both.sum()).clamp(min=LEAST),
    }


def hidden_loss(layers: Layers, ground: Tensor) -> Tensor:
    """|b̂_t - ground|, a mean over what the mask hides.

    Not in the paper, where a hole is painted by what other frames show of it. A few hundred steps of that leave a grey
    shade where the figure stood. Where the ground is fixed, the video's median picture shows what is behind.

    Args: ground, the shape of `layers.b_hat`.
    """
    hidden = layers.m.detach()
    error = reduce((layers.b_hat - ground).abs(), "b t c h w -> b t 1 h w", "mean")
    return (hidden * error).sum() / averaged(hidden.sum()).clamp(min=LEAST)


def lma_terms(
    seen: Foregrounds,
    rollout: Rollout,
    *,
    weights: Mapping[str, float],
    perceptual: Perceptual | None,
) -> dict[str, Tensor]:
    """The terms of Eqs. (6)-(11) and ours whose weight is not 0; none has a gradient in GMA.

    Args: seen, what LMA saw; rollout, its prediction of frames 2..T; the others as in `gma_terms`.
    """
    f, m = seen.f, seen.m
    target, actions = f[:, 1:], rollout.actions
    scales = [(drawn, resized(target, like=drawn)) for drawn in rollout.frames]
    terms: dict[str, Callable[[], Tensor]] = {
        "commitment": lambda: actions.commitment,
        "codebook": lambda: actions.codebook,
        "recu": lambda: weighted_loss(scales, motion_weight(f, rollout.frames[-1])),
        "recs": lambda: weighted_loss(
            scales, channel_sum(seen.f_moved - target) + channel_sum(rollout.frames[-1].detach() - target)
        ),
        "msk": lambda: (rollout.mask.float() - m[:, 1:]).abs().mean(),
        "cyc": lambda: (rollout.phi.detach().float() - rollout.phi_hat.float()).abs().mean(),
        "decorrelate": lambda: decorrelation_loss(actions.u),
    }
    terms |= told_terms(rollout.outline, rollout.edges, seen)
    if perceptual is not None:
        terms["lma_vgg"] = lambda: perceptual_loss(scales, perceptual)
    return {name: term() for name, term in terms.items() if weights[name]}


def found_loss(found: Tensor, m: Tensor) -> Tensor:
    """One minus how far masks overlap, Σ m m' / Σ (m + m' - m m'), a mean over frames; see `GLASS.found_again`.

    Not in the paper.

    Args: found, m (n, 1, h, w) in [0, 1].
    """
    both = reduce(found * m, "n 1 h w -> n", "sum")
    either = reduce(found + m, "n 1 h w -> n", "sum") - both
    return 1 - (both / either.clamp(min=1)).mean()


def told_terms(outline: Tensor | None, within: Tensor | None, seen: Foregrounds) -> dict[str, Callable[[], Tensor]]:
    """How to compute `outline` and `edges`.  Args: what `LMA.told` gives; seen, what LMA saw."""
    terms: dict[str, Callable[[], Tensor]] = {}
    f_next, m_next = seen.f[:, 1:], seen.m[:, 1:]
    if outline is not None:
        terms["outline"] = lambda: outline_loss(outline, m_next)
    if within is not None:
        terms["edges"] = lambda: edges_loss(within, f_next, m_next)
    return terms


def decorrelation_loss(u: Tensor) -> Tensor:
    """The mean of corr(u_i, u_j)² over i ≠ j, in [0, 1], which is small if actions differ in more than one dimension.

    Not in the paper. Eq. (6) draws U(d_t) towards few prototypes, which is easiest if all lie on one line: without a
    perceptual loss they did, and six actions were six ranges of one scalar.  [Bardes et al. 2022, VICReg]

    Args: u: (b, t-1, code_size), U(d_t).
    """
    seen = rearrange(u.float(), "b t k -> (b t) k")
    centred = seen - averaged(seen.mean(dim=0))
    # STILL keeps rounding errors of constant dimensions from counting as correlation.
    unit = centred / averaged(centred.square().mean(dim=0)).add(STILL).sqrt()
    correlation = averaged(reduce(unit[:, :, None] * unit[:, None, :], "n i j -> i j", "mean"))
    size = len(correlation)
    return (correlation.square().sum() - correlation.diagonal().square().sum()) / (size * (size - 1))


def outline_loss(logits: Tensor, m_next: Tensor) -> Tensor:
    """Cross-entropy of the outline drawn from a_t alone and that of m_{t+1}, a mean over pixels; see `OutlineDecoder`.

    Args: logits (b, t, side, side); m_next (b, t, 1, h, w) in [0, 1].
    """
    return F.binary_cross_entropy_with_logits(logits.float(), outlines(m_next, side=logits.shape[-1]))


def edges_loss(drawn: Tensor, f_next: Tensor, m_next: Tensor) -> Tensor:
    """‖·‖² of the edges drawn from a_t alone and those within f_{t+1}, a mean over pixels; see `outline.edges`.

    Not in the paper.

    Args: drawn (b, t, side, side); f_next (b, t, 3, h, w); m_next (b, t, 1, h, w) in [0, 1].
    """
    return F.mse_loss(drawn.float(), edges(f_next, m_next, side=drawn.shape[-1]))

"""The weights of GLASS's losses."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vdsm_glass.layers.term_weights import TermWeights


@dataclass(frozen=True)
class LossWeights(TermWeights):
    """λ of every term.  [GLASS Table 6, in its order]

    A term whose weight is 0 is not computed, which is how ablations leave it out.

    Args:
        bin, size, recf, recb, vgg, recj: of GMA, Eqs. (1)-(5); `vgg` is part of Eq. (4), so `recb` multiplies it, too.
        vq: on the codebook term of Eq. (6), as in the text; others put it on the commitment term.
        recu, recs, msk, cyc, lma_vgg: of LMA, Eqs. (7)-(11).
        vq_extra: on the whole of Eq. (6); the authors' implementation has 0.1, the paper none.
        steady: of GMA; ours, not the paper's, see `losses.steadiness_loss`.
        difference: of GMA, in training only; ours, not the paper's, see `difference.Ground`. Needs a ground.
        ground: likewise, see `losses.hidden_loss`.
        registration: of GMA, in training only; ours, not the paper's, see `GMA.registration`.
        decorrelate: of LMA; ours, not the paper's, see `losses.decorrelation_loss`.
        outline: of LMA; ours, not the paper's, see `losses.outline_loss`. Needs `LMASizes.outline`.
        edges: of LMA; ours, not the paper's, see `losses.edges_loss`. Needs `LMASizes.edges`.
        found: of LMA, in training only; ours, not the paper's, see `GLASS.found_again`.
    """

    bin: float = 0.5
    size: float = 0.1
    recf: float = 1.0
    recb: float = 2.0
    vgg: float = 0.01
    recj: float = 1.0
    vq: float = 0.25
    recu: float = 1.0
    recs: float = 1.0
    msk: float = 0.2
    cyc: float = 0.2
    lma_vgg: float = 1.0
    vq_extra: float = 1.0
    steady: float = 0.0
    difference: float = 0.0
    ground: float = 0.0
    registration: float = 0.0
    decorrelate: float = 0.0
    outline: float = 0.0
    edges: float = 0.0
    found: float = 0.0

    @property
    def of_terms(self) -> dict[str, float]:
        """The factor of each raw term in the loss."""
        started = dict.fromkeys(("difference_mask", "difference_shift"), self.difference)
        composed = {"vgg": self.recb * self.vgg, "commitment": self.vq_extra, "codebook": self.vq_extra * self.vq}
        return asdict(self) | composed | started

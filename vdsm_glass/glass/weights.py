"""The weights of GLASS's losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """λ of every term.  [GLASS Table 6, in its order]

    A term whose weight is 0 is not computed: that is how an ablation leaves it out.

    Args:
        bin, size, recf, recb, vgg, recj: of GMA, Eqs. (1)-(5); `vgg` stands within Eq. (4), so that `recb` multiplies
            it, too.
        vq: on the codebook term of Eq. (6). The text puts it there, and not on the commitment term as others do.
        recu, recs, msk, cyc, lma_vgg: of LMA, Eqs. (7)-(11).
        vq_extra: on the whole of Eq. (6); the authors' implementation has 0.1, the paper nothing.
        steady: of GMA; ours, not the paper's, see `losses.steadiness_loss`.
        decorrelate: of LMA; ours, not the paper's, see `losses.decorrelation_loss`.
        outline: of LMA; ours, not the paper's, see `losses.outline_loss`. Needs `LMASizes.outline`.
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
    decorrelate: float = 0.0
    outline: float = 0.0

    @property
    def of_terms(self) -> dict[str, float]:
        """What each raw term is multiplied by in the loss."""
        return {
            "bin": self.bin,
            "size": self.size,
            "recf": self.recf,
            "recb": self.recb,
            "vgg": self.recb * self.vgg,
            "recj": self.recj,
            "steady": self.steady,
            "decorrelate": self.decorrelate,
            "outline": self.outline,
            "commitment": self.vq_extra,
            "codebook": self.vq_extra * self.vq,
            "recu": self.recu,
            "recs": self.recs,
            "msk": self.msk,
            "cyc": self.cyc,
            "lma_vgg": self.lma_vgg,
        }

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Σ λ · term, over the terms that were computed."""
        of_terms = self.of_terms
        return torch.stack([of_terms[name] * term for name, term in terms.items()]).sum()

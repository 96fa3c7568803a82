"""The weights of a model's losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TermWeights:
    """λ of every term, one a field; a term whose weight is 0 is not computed."""

    @property
    def of_terms(self) -> dict[str, float]:
        """The factor of each raw term in the loss."""
        return asdict(self)

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Σ λ · term over the given terms."""
        of_terms = self.of_terms
        return torch.stack([of_terms[name] * term for name, term in terms.items()]).sum()

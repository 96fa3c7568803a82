"""What VDSM takes a video apart into."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Identity s (b, s), poses z (b, t, z) and, after the second stage, dynamics d (b, d)."""

    s: Tensor
    z: Tensor
    d: Tensor | None = None

    def __getitem__(self, rows: Tensor | slice) -> Latents:
        """The latents of the sequences `rows`."""
        present = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **{name: value[rows] for name, value in present.items()})

    @staticmethod
    def concatenate(parts: list[Latents]) -> Latents:
        """The sequences of all `parts`, in order; all parts have d, or none."""
        d = [part.d for part in parts if part.d is not None]
        return Latents(
            s=torch.cat([part.s for part in parts]),
            z=torch.cat([part.z for part in parts]),
            d=torch.cat(d) if d else None,
        )

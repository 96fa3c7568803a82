"""What VDSM takes a video apart into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """Identity s (b, s), poses z (b, t, z) and, after the second stage, dynamics d (b, d)."""

    s: Tensor
    z: Tensor
    d: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Latents:
        """Latents in which `function` was applied to every tensor that is there."""
        present = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **{name: function(value) for name, value in present.items()})

    def __getitem__(self, rows: Tensor | slice) -> Latents:
        """The latents of the sequences `rows`."""
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Latents:
        """The latents on `device`."""
        return self.map(lambda value: value.to(device, non_blocking=non_blocking))

    @staticmethod
    def concatenate(parts: list[Latents]) -> Latents:
        """The sequences of all `parts`, in order; all parts have d, or none."""
        d = [part.d for part in parts if part.d is not None]
        return Latents(
            s=torch.cat([part.s for part in parts]),
            z=torch.cat([part.z for part in parts]),
            d=torch.cat(d) if d else None,
        )

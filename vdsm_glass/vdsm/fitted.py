"""A density fitted, after training, to what the guide makes of training clips: an alternative to the prior.

Ours, not the paper's. Clips drawn from the prior show how far prior and guide are apart; clips drawn from this density,
what the decoder makes of latents like those of real clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from vdsm_glass.checkpoints import CheckpointError, misfits, shortened
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.mixtures import Mixture
from vdsm_glass.vdsm.sequences import SequenceVDSM

if TYPE_CHECKING:
    from data_modules.base import VideoDataModule

Net = FrameVDSM | SequenceVDSM


@dataclass(frozen=True)
class FittedPrior:
    """Mixtures fitted to the means of q: of s, and of d and z_1 together; before stage 2 of every frame's z.

    It takes the place of a network's own `sample_identity` and `sample_poses`.
    """

    identity: Mixture
    motion: Mixture

    @classmethod
    def of(cls, latents: Latents) -> FittedPrior:
        """Args: latents, what `encode` gives for two clips or more."""
        z, d = latents.z, latents.d
        motion = rearrange(z, "b t z -> (b t) z") if d is None else torch.cat([d, z[:, 0]], dim=-1)
        return cls(identity=Mixture.fit(latents.s), motion=Mixture.fit(motion))

    @classmethod
    @torch.no_grad()
    def of_training_clips(cls, net: Net, data: VideoDataModule, *, most: int, batch_size: int = 32) -> FittedPrior:
        """Args: net, in evaluation mode; most clips, evenly spread over the training split.

        Raises: UserError, as `evaluation_dataset`.
        """
        dataset = data.evaluation_dataset("train")
        chosen = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int).tolist()
        device = next(net.parameters()).device
        parts = [chosen[first : first + batch_size] for first in range(0, len(chosen), batch_size)]
        return cls.of(Latents.concatenate([net.encode(dataset[part].to(device).decoded().video) for part in parts]))

    def sample_identity(self, count: int, generator: torch.Generator) -> Tensor:
        """As `net.sample_identity`, (count, s)."""
        return self.identity.draw(count, generator)

    def sample_poses(self, net: Net, count: int, steps: int, generator: torch.Generator) -> Tensor:
        """As `net.sample_poses`, (count, steps, z); after z_1 poses follow p(z_t | z_{t-1}, d)."""
        if not isinstance(net, SequenceVDSM):
            return rearrange(self.motion.draw(count * steps, generator), "(b t) z -> b t z", t=steps)
        d, z_1 = self.motion.draw(count, generator).split([net.sizes.kappa_d, net.sizes.kappa_z], dim=-1)
        return net.advance(z_1, d, steps=steps, generator=generator)

    def tensors(self) -> dict[str, Tensor]:
        """All its numbers by name, `identity.shares` and so on."""
        parts = {side.name: getattr(self, side.name) for side in fields(self)}
        return {f"{name}.{f.name}": getattr(part, f.name) for name, part in parts.items() for f in fields(part)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], net: Net) -> FittedPrior:
        """What `tensors` gave.  Raises: CheckpointError, they are no density of this network's latents."""
        sizes = net.sizes
        motion = sizes.kappa_z + (sizes.kappa_d if isinstance(net, SequenceVDSM) else 0)
        wanted: dict[str, Tensor] = {}
        for side, n in (("identity", sizes.kappa_s), ("motion", motion)):
            k = len(tensors[f"{side}.shares"]) if f"{side}.shares" in tensors else 1
            empty = Mixture(*(torch.empty(shape, device="meta") for shape in ((k,), (k, n), (n, n))))
            wanted |= {f"{side}.{f.name}": getattr(empty, f.name) for f in fields(empty)}
        problems = misfits(wanted, dict(tensors))
        problems += [f"{name} is not finite" for name, value in tensors.items() if not value.isfinite().all()]
        shares = [value for name, value in tensors.items() if name.endswith(".shares")]
        if problems or any((part < 0).any() or not 0.99 < part.sum() < 1.01 for part in shares):
            said = shortened(problems) or "shares do not sum to 1"
            raise CheckpointError(f"the density fitted to training clips does not fit this model: {said}")
        sides = {side.name: {} for side in fields(cls)}
        for name, value in tensors.items():
            side, _, part = name.partition(".")
            sides[side][part] = value.float()
        return cls(**{side: Mixture(**parts) for side, parts in sides.items()})

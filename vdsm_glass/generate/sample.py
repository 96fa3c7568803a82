"""Sample: videos that nobody filmed, from the prior."""

from __future__ import annotations

import torch
from torch import Tensor

from vdsm_glass.vdsm.densities import isotropic
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM, draw


@torch.no_grad()
def sample(net: FrameVDSM | SequenceVDSM, *, count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Nobody's identity in nobody's motion: `sample_identity` and `sample_poses`, drawn.

    Args: generator, on the network's device.   Returns: (count, steps, 3, h, w) in [0, 1].
    """
    s = sample_identity(net, count=count, generator=generator)
    return net.decode(sample_poses(net, count=count, steps=steps, generator=generator), s)


@torch.no_grad()
def sample_identity(net: FrameVDSM | SequenceVDSM, *, count: int, generator: torch.Generator) -> Tensor:
    """s ~ p(s).  Args: generator, on the network's device.   Returns: (count, s)."""
    frames = net.frames if isinstance(net, SequenceVDSM) else net
    return draw(frames.prior_s(frames.tau_s.new_empty(count, 0)), generator)


@torch.no_grad()
def sample_poses(net: FrameVDSM | SequenceVDSM, *, count: int, steps: int, generator: torch.Generator) -> Tensor:
    """After stage 2, d ~ p(d), z_1 ~ N(0, I), z_t ~ p(z_t | z_{t-1}, d); after stage 1, z_t ~ N(0, I).

    Args: generator, on the network's device.   Returns: (count, steps, z).
    """
    frames = net.frames if isinstance(net, SequenceVDSM) else net
    like, size = frames.tau_s.new_empty(count, 0), net.sizes.kappa_z
    if not isinstance(net, SequenceVDSM):
        return torch.stack([draw(isotropic(like, size=size), generator) for _ in range(steps)], dim=1)
    d = draw(net.prior_d(like), generator)
    first = draw(isotropic(like, size=size), generator)
    if steps == 1:
        return first.unsqueeze(dim=1)
    rest = net.advance(first, d, steps=steps - 1, generator=generator)
    return torch.cat([first.unsqueeze(dim=1), rest], dim=1)

"""Sample: videos that nobody filmed, from the prior."""

from __future__ import annotations

import torch
from torch import Tensor

from vdsm_glass.vdsm.frames import FrameVDSM, isotropic
from vdsm_glass.vdsm.sequences import SequenceVDSM, draw


@torch.no_grad()
def sample(net: FrameVDSM | SequenceVDSM, *, count: int, steps: int, generator: torch.Generator) -> Tensor:
    """s ~ p(s) and, after stage 2, d ~ p(d), z_1 ~ N(0, I), z_t ~ p(z_t | z_{t-1}, d); after stage 1, z_t ~ N(0, I).

    Args: generator, on the network's device.   Returns: (count, steps, 3, h, w) in [0, 1].
    """
    frames = net.frames if isinstance(net, SequenceVDSM) else net
    like = frames.tau_s.new_empty(count, 0)
    s = draw(frames.prior_s(like), generator)
    if isinstance(net, SequenceVDSM):
        d = draw(net.prior_d(like), generator)
        first = draw(isotropic(like, size=net.sizes.kappa_z), generator)
        rest = (
            net.advance(first, d, steps=steps - 1, generator=generator)
            if steps > 1
            else first.new_empty(count, 0, first.shape[1])
        )
        z = torch.cat([first.unsqueeze(dim=1), rest], dim=1)
    else:
        z = torch.stack([draw(isotropic(like, size=net.sizes.kappa_z), generator) for _ in range(steps)], dim=1)
    return net.decode(z, s)

"""Reconstruct: a clip taken apart and put together again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vdsm_glass.glass.animation import animate, infer
from vdsm_glass.glass.net import GLASS

if TYPE_CHECKING:
    from vdsm_glass.vdsm.frames import FrameVDSM
    from vdsm_glass.vdsm.sequences import SequenceVDSM


@torch.no_grad()
def reconstruct(net: FrameVDSM | SequenceVDSM | GLASS, video: Tensor) -> Tensor:
    """What a model makes of a clip out of what it has found in it.

    VDSM: E[x | z, s] at the means of q(z, s | x), frame by frame after stage 1, through d alone after stage 2.
    GLASS: animate(x_1, infer(x)); the first frame is the one that was given.

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: the same shape and range.
    """
    if isinstance(net, GLASS):
        return animate(net, video[:, 0], infer(net, video).actions).video
    latents = net.encode(video)
    return net.decode(latents.z, latents.s)

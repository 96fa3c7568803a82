"""Reconstruct: a clip taken apart and put together again."""

from __future__ import annotations

import torch
from torch import Tensor

from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM


@torch.no_grad()
def reconstruct(net: FrameVDSM | SequenceVDSM, video: Tensor) -> Tensor:
    """E[x | z, s] at the means of q(z, s | x): frame by frame after stage 1, through d alone after stage 2.

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: the same shape and range.
    """
    latents = net.encode(video)
    return net.decode(latents.z, latents.s)

"""A CADDY small enough for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vdsm_glass.caddy.network import CADDY
from vdsm_glass.caddy.sizes import CADDYSizes

WIDTHS: dict[str, Any] = {
    "encoder_channels": (4, 6, 8),
    "actions": 3,
    "action_channels": 8,
    "direction_size": 2,
    "hidden": 6,
    "hidden_middle": 8,
    "decoder_channels": (8, 6, 4),
}


def small_sizes(**changes: Any) -> CADDYSizes:
    return CADDYSizes(**(WIDTHS | changes))


def small_net(**changes: Any) -> CADDY:
    """In evaluation mode; what it draws shows the action.

    With the statistics that batch norms start with, each layer would shrink what passes it to less than rounding.
    """
    torch.manual_seed(0)
    net = CADDY(small_sizes(**changes))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = 0.5
    video = torch.rand(4, 5, 3, 32, 48, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        for _ in range(4):
            net(video, T_f=5)
    for norm in norms:
        norm.momentum = 0.1
    with torch.no_grad():
        net.A.centroids.normal_()
    return net.eval()

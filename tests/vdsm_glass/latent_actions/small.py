"""A latent action model small enough for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vdsm_glass.latent_actions.network import LatentActions
from vdsm_glass.latent_actions.sizes import LatentActionSizes

WIDTHS: dict[str, Any] = {
    "actions": 3,
    "code_size": 4,
    "inverse_channels": (4, 4, 6, 8),
    "forward_channels": (4, 6, 8),
    "memory": 2,
}


def small_sizes(**changes: Any) -> LatentActionSizes:
    return LatentActionSizes(**(WIDTHS | changes))


def small_net(**changes: Any) -> LatentActions:
    """In evaluation mode; what it draws is not a copy, and shows the action."""
    torch.manual_seed(0)
    net = LatentActions(small_sizes(**changes))
    nn.init.normal_(net.forwards.head.weight, std=0.2)
    nn.init.zeros_(net.forwards.head.bias)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        net.VQ.codes.copy_(2 * torch.randn_like(net.VQ.codes))
    net.VQ.initialised.fill_(True)
    return net.eval()

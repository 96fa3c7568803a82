"""Models of one action a frame as they are played: a clip that grows by a frame with every action."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vdsm_glass.discrete.network import DiscreteNetwork
from vdsm_glass.play.session_glass import GlassSession, Move


class ActionSession(GlassSession):
    """As `GlassSession`, of a network that looks at the action of a move alone.

    Args: net, in evaluation mode; first (3, h, w) in [0, 1], on any device.
    """

    def __init__(self, net: DiscreteNetwork, first: Tensor) -> None:
        self.network, self.memory = net, None
        self.device = next(net.parameters()).device
        self.actions = net.actions
        self.begin(first)

    def _started(self, first: Tensor) -> Any:
        return self.network.start(2 * first - 1)

    @torch.no_grad()
    def _advanced(self, scene: Any, move: Move) -> Any:
        return self.network.advance(scene, torch.tensor([move.action], device=self.device))

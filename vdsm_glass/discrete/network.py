"""Networks that infer one of K actions between two frames, and draw the next frame from those before and an action."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DiscreteActions:
    """What happens between the frames of a video.  Args: local_action (b, t-1) int64 in [0, K)."""

    local_action: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> DiscreteActions:
        """The actions after `function`."""
        return DiscreteActions(function(self.local_action))


class DrawnScene(NamedTuple):
    """A video in the making: all that the next frame depends on.

    Args: frame (b, 3, h, w) in [-1, 1], the present one; memory, what the network keeps of those before.
    """

    frame: Tensor
    memory: Any

    @property
    def picture(self) -> Tensor:
        """The present frame (b, 3, h, w) in [0, 1]."""
        return ((self.frame + 1) / 2).clamp(0, 1)


class DiscreteNetwork(nn.Module, ABC):
    """What a network has to offer so that it can be trained, tested and played as all of this kind are.

    Attributes: frame_multiple, of pixels that height and width have to be.
    """

    frame_multiple: ClassVar[int]

    @property
    @abstractmethod
    def actions(self) -> int:
        """K."""

    @abstractmethod
    def infer(self, video: Tensor) -> Tensor:
        """The action between each two frames: video (b, t, 3, h, w) in [-1, 1] -> (b, t-1) int64 in [0, K)."""

    @abstractmethod
    def start(self, first: Tensor) -> DrawnScene:
        """The scene of a first frame (b, 3, h, w) in [-1, 1]."""

    @abstractmethod
    def advance(self, scene: DrawnScene, action: Tensor) -> DrawnScene:
        """The scene after an action (b,) int64."""


@torch.no_grad()
def animate(net: DiscreteNetwork, first: Tensor, action: Tensor, *, real: Tensor | None = None) -> Tensor:
    """A video from its first frame by actions.

    Args: first (b, 3, h, w) in [0, 1]; action (b, n) int64; real (b, at least n, 3, h, w), the frames that the next
        ones are drawn from; by default those that were drawn.
    Returns: (b, n + 1, 3, h, w) in [0, 1]; its first frame is the one that was given.
    """
    scene, frames = net.start(2 * first - 1), [first]
    for t, step in enumerate(action.unbind(dim=1)):
        if real is not None:
            scene = scene._replace(frame=2 * real[:, t] - 1)
        scene = net.advance(scene, step)
        frames.append(scene.picture)
    return torch.stack(frames, dim=1)

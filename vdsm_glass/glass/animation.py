"""Infer the actions of a video; animate a first frame by actions, its own or others.  [GLASS sections 4 and 7]"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vdsm_glass.glass.gma import Foregrounds, Layers, Motion
from vdsm_glass.glass.lma import Actions
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.rnn import RNNState
from vdsm_glass.glass.window import cut, middles, pasted
from vdsm_glass.layers.shift import shift, to_grid, to_pixels


@dataclass(frozen=True)
class ActionSequence:
    """What happens between the frames of a video: all that GLASS needs besides the first frame.

    Args:
        foreground_shift: (b, t-1, 2), Δ_F in pixels of the frame, (x, y), x to the right and y down.
        local_action: (b, t-1) int64 in [0, K).
        background_shift: (b, t-1, 2), Δ_B in pixels.
    """

    foreground_shift: Tensor
    local_action: Tensor
    background_shift: Tensor

    def __len__(self) -> int:
        """Steps, one less than frames."""
        return self.local_action.shape[1]

    def expand(self, b: int) -> ActionSequence:
        """The actions of one video, for `b` first frames."""
        return self.map(lambda value: value.expand(b, *value.shape[1:]))

    def map(self, function: Callable[[Tensor], Tensor]) -> ActionSequence:
        """The actions to each of whose tensors `function` was applied."""
        return ActionSequence(*(function(value) for value in vars(self).values()))


@dataclass(frozen=True)
class Inference:
    """A video taken apart.

    Args: actions, see there; layers, the masks, foregrounds and inpainted backgrounds of all frames.
    """

    actions: ActionSequence
    layers: Layers


@dataclass(frozen=True)
class Animation:
    """A video made from its first frame.

    Args:
        video: (b, t, 3, h, w) in [0, 1]; its first frame is the one that was given.
        mask: (b, t, 1, h, w) in [0, 1]; the first is M's, the others are D's.
        foreground: (b, t, 3, h, w) in [-1, 1], f_1 and f̂_2..f̂_T.
    """

    video: Tensor
    mask: Tensor
    foreground: Tensor


class Scene(NamedTuple):
    """A video in the making, after some frame: all that the next frame depends on.

    Args:
        state: of the RNN.
        agent: (b, 4, h, w), the present foreground in [-1, 1] and its mask in [0, 1], as LMA sees them.
        first: (b, 4, h, w), the first ones.
        at: (b, 2) pixels, where the window is in which LMA sees them; None if it sees whole frames.
        b_hat: (b, 3, h, w) in [-1, 1], the first frame's background, inpainted.
        moved: (b, 2) pixels, how far it has moved since.
    """

    state: RNNState
    agent: Tensor
    first: Tensor
    at: Tensor | None
    b_hat: Tensor
    moved: Tensor

    @property
    def layer(self) -> Tensor:
        """The foreground and its mask in the frame, (b, 4, h, w)."""
        height, width = self.b_hat.shape[-2:]
        return self.agent if self.at is None else pasted(self.agent, self.at, height=height, width=width)

    @property
    def f(self) -> Tensor:
        """The foreground in the frame, (b, 3, h, w) in [-1, 1]."""
        return self.layer[:, :3]

    @property
    def m(self) -> Tensor:
        """Its mask in the frame, (b, 1, h, w) in [0, 1]."""
        return self.layer[:, 3:]

    @property
    def picture(self) -> Tensor:
        """The frame (b, 3, h, w) in [0, 1]: the foreground, by its mask, over the first background moved."""
        height, width = self.b_hat.shape[-2:]
        delta = to_grid(self.moved, height=height, width=width)
        background = shift(self.b_hat, delta, padding="border")
        f, m = self.layer.split([3, 1], dim=1)
        return ((f * m + background * (1 - m) + 1) / 2).clamp(0, 1)


@torch.no_grad()
def infer(net: GLASS, video: Tensor) -> Inference:
    """Δ_F, a and Δ_B between all frames of a video (b, t, 3, h, w) in [0, 1], t at least 2."""
    layers, motion = net.gma(2 * video - 1)
    seen = net.seen_by_lma(Foregrounds.of(layers, motion))
    return inferred(layers, motion, net.lma.actions(seen.f, seen.f_moved, seen.m))


def inferred(layers: Layers, motion: Motion, actions: Actions) -> Inference:
    """What was found by both analyses, shifts in pixels."""
    height, width = layers.f.shape[-2:]
    sequence = ActionSequence(
        foreground_shift=to_pixels(motion.delta_F, height=height, width=width),
        local_action=actions.index,
        background_shift=to_pixels(motion.delta_B, height=height, width=width),
    )
    return Inference(actions=sequence, layers=layers)


@torch.no_grad()
def start(net: GLASS, first: Tensor) -> Scene:
    """The scene that first frames (b, 3, h, w) in [0, 1] show.

    For the background the mask is dilated by a pixel, as the authors do: what the mask misses of the foreground would
    stay behind as a halo.
    """
    frames = 2 * first - 1
    m = net.gma.M(frames)
    b, _, height, width = frames.shape
    side = net.lma.sizes.window
    at = middles(m) if side else None
    agent = torch.cat([frames * m, m], dim=1)
    if at is not None:
        agent, height, width = cut(agent, at, side=side), side, side
    return Scene(
        state=net.lma.initial_state(b, height=height, width=width),
        agent=agent,
        first=agent,
        at=at,
        b_hat=net.gma.inpaint(frames, F.max_pool2d(m, kernel_size=3, stride=1, padding=1)),
        moved=frames.new_zeros(b, 2),
    )


@torch.no_grad()
def advance(
    net: GLASS, scene: Scene, *, foreground_shift: Tensor, local_action: Tensor, background_shift: Tensor
) -> Scene:
    """The scene one frame later.

    Args: foreground_shift and background_shift (b, 2) in pixels; local_action (b,) int64.
    """
    height, width = scene.b_hat.shape[-2:]
    delta_F = to_grid(foreground_shift, height=height, width=width)
    e, a = net.lma.encode(scene.agent[:, :3]), net.lma.codes[local_action]
    f, m, state = net.lma.step(e, delta_F, a, scene.state, net.lma.sources(scene.first, scene.agent[:, None]))
    return scene._replace(
        state=state,
        agent=torch.cat([f, m], dim=1),
        at=None if scene.at is None else scene.at + foreground_shift,
        moved=scene.moved + background_shift,
    )


def animate(net: GLASS, first: Tensor, actions: ActionSequence) -> Animation:
    """A video from its first frame alone and the actions between its frames.

    Args: first (b, 3, h, w) in [0, 1]; actions of b videos, or of one, which is then applied to all.
    Returns: `len(actions) + 1` frames.
    """
    scenes = list(play(net, first, actions))
    layers = torch.stack([scene.layer for scene in scenes], dim=1)
    return Animation(
        video=torch.stack([first, *(scene.picture for scene in scenes[1:])], dim=1),
        mask=layers[:, :, 3:],
        foreground=layers[:, :, :3],
    )


def play(net: GLASS, first: Tensor, actions: ActionSequence) -> Iterator[Scene]:
    """The scenes of `animate`, one after the other."""
    actions = actions.expand(len(first))
    scene = start(net, first)
    yield scene
    for t in range(len(actions)):
        scene = advance(
            net,
            scene,
            foreground_shift=actions.foreground_shift[:, t],
            local_action=actions.local_action[:, t],
            background_shift=actions.background_shift[:, t],
        )
        yield scene

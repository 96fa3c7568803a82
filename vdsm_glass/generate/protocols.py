"""What a model is asked to generate so that it can be scored, and how it may be asked.  [METRICS, protocols]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from data_modules.errors import UserError
from data_modules.suggest import did_you_mean
from vdsm_glass.generate.animate import ActionSequence, animate, infer
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.generate.sample import sample
from vdsm_glass.generate.swap import swap
from vdsm_glass.generate.transfer import rollout
from vdsm_glass.glass.net import GLASS
from vdsm_glass.layers.shift import shift
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM

LONG = 60
"""Frames of a rollout.  [VDSM suppl. Fig. 4]"""


@dataclass(frozen=True)
class Generation:
    """A way to make clips out of real ones.

    Args:
        make: (net, video, other, generator) -> clips (b, t', 3, h, w) in [0, 1], from video, (b, t, 3, h, w) in [0, 1];
            other, as many other clips, video itself where they are not looked at; generator, on the network's device.
        about: in words, for the protocol.
        paired: whether a clip should equal the one it was made of, so that both can be compared frame by frame.
        needs_others: whether other clips are looked at.
        given: leading frames that are shown to the renderer and copied into the clip.
    """

    make: Callable[[Any, Tensor, Tensor, torch.Generator], Tensor]
    about: str
    paired: bool = True
    needs_others: bool = False
    given: int = 0


def teacher_forced(net: GLASS, video: Tensor) -> Tensor:
    """Frames 2..T each from the *real* frame before it: what the authors' evaluation does.

    Args: video (b, t, 3, h, w) in [0, 1].   Returns: alike; the first frame is the real one.
    """
    layers, motion = net.gma(2 * video - 1)
    drawn = net.lma(layers.f, motion.f_moved, motion.delta_F, T_f=video.shape[1], m=layers.m)
    b, steps = motion.delta_B.shape[:2]
    first = layers.b_hat[:, :1].expand(-1, steps, -1, -1, -1)
    moved = shift(
        rearrange(first, "b t c h w -> (b t) c h w"),
        rearrange(motion.delta_B.cumsum(dim=1), "b t k -> (b t) k"),
        padding="border",
    )
    background = rearrange(moved, "(b t) c h w -> b t c h w", b=b)
    frames = drawn.frames[-1] * drawn.mask + background * (1 - drawn.mask)
    return torch.cat([video[:, :1], ((frames + 1) / 2).clamp(0, 1)], dim=1)


def _other_first_frames(net: GLASS, video: Tensor, other: Tensor) -> Tensor:
    actions: ActionSequence = infer(net, video).actions
    return animate(net, other[:, 0], actions).video


def _transferred(net: SequenceVDSM, video: Tensor, other: Tensor, *, steps: int) -> Tensor:
    return rollout(net, net.dynamics(video), net.frames.encode(other).s, steps=steps)


FIRST_FRAME = "first frame and inferred actions"
OF_GLASS = {
    "reconstruction": Generation(lambda net, video, *_: reconstruct(net, video), about=FIRST_FRAME, given=1),
    "teacher_forced": Generation(
        lambda net, video, *_: teacher_forced(net, video), about="every real frame before, inferred actions", given=1
    ),
    "transfer": Generation(
        lambda net, video, other, _: _other_first_frames(net, video, other),
        about="another clip's first frame",
        paired=False,
        needs_others=True,
        given=1,
    ),
}
OF_FRAMES = {
    "reconstruction": Generation(lambda net, video, *_: reconstruct(net, video), about="its latents"),
    "swap": Generation(
        lambda net, video, other, _: swap(net, motion=net.encode(video), identity=net.encode(other)),
        about="another clip's identity",
        paired=False,
        needs_others=True,
    ),
    "prior": Generation(
        lambda net, video, _, generator: sample(net, count=len(video), steps=video.shape[1], generator=generator),
        about="the prior",
        paired=False,
    ),
}
OF_SEQUENCES = OF_FRAMES | {
    "transfer": Generation(
        lambda net, video, other, _: _transferred(net, video, other, steps=video.shape[1]),
        about="its d on another clip's identity",
        paired=False,
        needs_others=True,
    ),
    "rollout": Generation(
        lambda net, video, *_: _transferred(net, video, video, steps=max(LONG, video.shape[1])),
        about=f"the last of {LONG} frames of its d and s",
        paired=False,
    ),
}


def generations(net: Any) -> dict[str, Generation]:
    """What a network can be asked for, by name; nothing, if it is none of ours."""
    kinds = {GLASS: OF_GLASS, SequenceVDSM: OF_SEQUENCES, FrameVDSM: OF_FRAMES}
    return next((known for kind, known in kinds.items() if isinstance(net, kind)), {})


def generation(net: Any, name: str) -> Generation:
    """The one of that name.  Raises: UserError, this model has none such."""
    known = generations(net)
    if name not in known:
        what = f"{type(net).__name__} cannot be asked for {name!r}"
        raise UserError(f"{what}{did_you_mean(name, known)}; it knows {', '.join(known)}")
    return known[name]

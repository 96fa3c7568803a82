"""GLASS in the browser: a first frame taken apart, a step, and a scene as a picture.  [GLASS sections 4 and 7]"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass.animation import Scene, advance, start
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.rnn import RNNState
from vdsm_glass.layers.conv_lstm import LSTMState
from vdsm_glass.layers.shift import shift, to_grid
from vdsm_glass.play.clips import Data, NamedClip, clips_to_play
from vdsm_glass.play.controls import MOST_PIXELS, GlassControls
from vdsm_glass.play.media import FPS
from vdsm_glass.play.session_glass import MASK_COLOUR, MOST_FRAMES, SHORT, moves_in
from vdsm_glass.web.page import Graph, WebPage

CLIPS = 8
STATE = tuple(f"{block}_{part}" for block in RNNState._fields for part in LSTMState._fields)


class Start(nn.Module):
    """The scene that a first frame shows, see `vdsm_glass.glass.animation.start`."""

    def __init__(self, net: GLASS) -> None:
        super().__init__()
        self.net = net

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, h, w) in [0, 1] -> state, agent, b̂, m of the whole frame and, if there are windows, where."""
        scene = start(self.net, frame)
        whole = (*chain(*scene.state), scene.agent, scene.b_hat, scene.m)
        return whole if scene.at is None else (*whole, scene.at)


class Step(nn.Module):
    """The scene one frame later, but for where it is, see `vdsm_glass.glass.animation.advance`.

    Args: size (height, width) of a frame.
    """

    def __init__(self, net: GLASS, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, agent: Tensor, first: Tensor, by: Tensor, action: Tensor, **state: Tensor) -> tuple[Tensor, ...]:
        """Args: agent, first (1, 4, h, w); by (1, 2) pixels; action (1,) int64.   Returns: state and agent."""
        h, c = (list(state.values())[part::2] for part in range(2))
        nowhere = agent.new_zeros(1, 2)
        scene = Scene(
            state=RNNState(*map(LSTMState, h, c)),
            agent=agent,
            first=first,
            at=None,
            b_hat=agent.new_zeros(1, 3, *self.size),
            moved=nowhere,
        )
        after = advance(self.net, scene, foreground_shift=by, local_action=action, background_shift=nowhere)
        return (*chain(*after.state), after.agent)


class Draw(nn.Module):
    """A scene as a picture, see `vdsm_glass.glass.animation.Scene.picture`."""

    def forward(self, agent: Tensor, b_hat: Tensor, moved: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns: (1, 3, h, w) in [0, 1] and the mask (1, 1, h, w)."""
        nothing = RNNState(*[LSTMState(agent, agent)] * len(RNNState._fields))
        scene = Scene(state=nothing, agent=agent, first=agent, at=at, b_hat=b_hat, moved=moved)
        return scene.picture, scene.m


class Shift(nn.Module):
    """A foreground elsewhere in the frame, see `vdsm_glass.play.session_glass.shifted`."""

    def forward(self, agent: Tensor, by: Tensor) -> Tensor:
        """Args: agent (1, 4, h, w); by (1, 2) pixels.   Returns: as agent."""
        height, width = agent.shape[-2:]
        return shift(agent, to_grid(by, height=height, width=width), padding="zeros")


def graphs(net: GLASS, frame: Tensor) -> dict[str, Graph]:
    """The graphs for frames of the size of frame (1, 3, h, w) in [0, 1]; it is their example, too."""
    first, by = start(net, frame), torch.tensor([[3.0, -2.0]])
    # After a step no two inputs are alike, so that none can stand in for another.
    scene = advance(net, first, foreground_shift=by, local_action=torch.tensor([0]), background_shift=by)
    state = dict(zip(STATE, chain(*scene.state), strict=True))
    at = {} if scene.at is None else {"at": scene.at}
    height, width = frame.shape[-2:]
    given = {"agent": scene.agent, "first": first.agent, "by": by, "action": torch.tensor([1])}
    made = {
        "start": Graph(Start(net), {"frame": frame}, (*STATE, "agent", "b_hat", "mask", *at)),
        "step": Graph(Step(net, (height, width)), given | state, (*(f"next_{name}" for name in STATE), "next_agent")),
        "draw": Graph(
            Draw(), {"agent": scene.agent, "b_hat": scene.b_hat, "moved": scene.moved, **at}, ("picture", "mask")
        ),
    }
    if scene.at is None:
        made["shift"] = Graph(Shift(), {"agent": scene.agent, "by": by}, ("shifted",))
    return made


def page(model: GLASSModel, data: Data | None) -> WebPage:
    """The page of a GLASS with these clips, or with those of the test split.  Raises: as `clips_to_play`."""
    clips = clips_to_play(model, data, by="identity", most=CLIPS)
    firsts = torch.stack([(clip.video[0] * 255).round() for clip in clips])
    controls = GlassControls(actions=model.k)
    return WebPage(
        script="glass.js",
        graphs=graphs(model.network, firsts[:1] / 255),
        tensors={"firsts": firsts.to(torch.uint8)},
        settings={
            "actions": model.k,
            "pixels": controls.pixels,
            "most_pixels": MOST_PIXELS,
            "most_frames": MOST_FRAMES,
            "short": SHORT,
            "mask_colour": MASK_COLOUR,
            "fps": FPS,
            "clips": [described(model.network, clip) for clip in clips],
        },
    )


def described(net: GLASS, clip: NamedClip) -> dict[str, Any]:
    """A clip's name, and the moves in it."""
    return {"name": clip.identity, "moves": [vars(move) for move in moves_in(net, clip.video)]}

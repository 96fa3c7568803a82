"""GLASS as it is played: a clip that grows by a frame with every action.  [GLASS sections 4 and 7]"""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.glass.animation import ActionSequence, Scene, advance, infer, start
from vdsm_glass.glass.net import GLASS
from vdsm_glass.layers.shift import shift, to_grid

MOST_FRAMES = 1000
"""The longest clip."""
NEWEST, OLDER = 16, 16
"""How many scenes are kept, of the newest frames and of those before. A scene has some hundred kilobytes."""
SHORT = 3
"""How many moves a short memory keeps: no more than training clips show, and few enough to draw at once."""
MASK_COLOUR = (1.0, 0.25, 0.6)


class ClipFullError(UserError):
    """The clip has `MOST_FRAMES` frames."""


@dataclass(frozen=True)
class Move:
    """What happens between a frame and the next.

    Args:
        foreground, background: how far each shifts, (x, y) in pixels, x to the right and y down, as the content moves.
        action: the local one, in [0, K).
    """

    foreground: tuple[float, float] = (0.0, 0.0)
    background: tuple[float, float] = (0.0, 0.0)
    action: int = 0


class Scenes:
    """The scenes after the frames of a clip, as many as are kept, and small pictures of the others on the disk.

    The first and the newest are kept, and of the others every 2nd, 4th, 8th, ..., so that memory stays flat while the
    clip grows.
    """

    def __init__(self, first: Any) -> None:
        self.kept = {0: first}
        self.count, self._every = 1, 1
        self._file: IO[bytes] | None = None

    @property
    def last(self) -> Any:
        """The newest one."""
        return self.kept[self.count - 1]

    def add(self, scene: Any) -> None:
        """Appends the scene after one more frame."""
        self.kept[self.count] = scene
        self.count += 1
        while len(older := [index for index in self.kept if 0 < index < self.count - NEWEST]) > OLDER:
            self._every *= 2
            for index in older:
                if index % self._every:
                    self._write(index, self.kept.pop(index))

    def drop(self) -> None:
        """Takes the last one away."""
        self.count -= 1
        self.kept.pop(self.count, None)

    def before(self, index: int) -> int:
        """The nearest frame up to `index` whose scene is kept."""
        return max(each for each in self.kept if each <= index)

    def layers(self, index: int) -> Tensor:
        """(4, h, w) in [0, 1]: a frame and the foreground's mask, in 256 levels where the scene is not kept."""
        if (scene := self.kept.get(index)) is not None:
            return layers_of(scene)
        assert self._file is not None
        height, width = self.kept[0].picture.shape[-2:]
        self._file.seek(index * 4 * height * width)
        found = torch.frombuffer(bytearray(self._file.read(4 * height * width)), dtype=torch.uint8)
        return found.reshape(4, height, width).float() / 255

    def _write(self, index: int, scene: Any) -> None:
        layers = layers_of(scene).mul(255).round().clamp(0, 255).byte()
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the clip)
            weakref.finalize(self, self._file.close)
        self._file.seek(index * layers.numel())
        self._file.write(layers.numpy().tobytes())


class GlassSession:
    """One person's clip: its first frame, the moves since, and what was drawn after each of them.

    A scene holds the RNN's state as a value, hence undo is taking the last one away. One that is no longer kept is
    drawn again from the nearest that is.

    Args:
        net: in evaluation mode.
        first: (3, h, w) in [0, 1], the first frame, on any device.
        memory: how many moves a frame is drawn by; None, all of them, each from the frame before, as the paper has it.
            With fewer the RNN starts from the first frame every time, and what it draws goes where the older moves
            led. A network that saw short clips only keeps its figure that way, and elsewhere lets it fade.
    """

    def __init__(self, net: GLASS, first: Tensor, *, memory: int | None = None) -> None:
        self.net, self.memory = net, memory
        self.device = net.lma.codes.device
        self.actions = len(net.lma.codes)
        self.moves: list[Move] = []
        self.begin(first)

    def begin(self, first: Tensor) -> None:
        """Starts a new clip from first (3, h, w) in [0, 1].  Raises: ValueError, a size that GLASS does not take."""
        scene = self._started(first[None].to(self.device))
        self.first, self.scenes, self.moves = first.cpu(), Scenes(scene), []
        self.drawn_ahead: tuple[object, Any] | None = None

    def play(self, move: Move) -> None:
        """Draws one more frame.  Raises: ClipFullError; ValueError, there is no such local action."""
        if not 0 <= move.action < self.actions:
            raise ValueError(
                f"action is {move.action}, expected 0 to {self.actions - 1}: the network has {self.actions}"
            )
        if len(self) >= MOST_FRAMES:
            raise ClipFullError(f"the clip has {MOST_FRAMES} frames, which is all it can have: record it, then reset")
        last, moves = self.scenes.last, [*self.moves, move]
        self.scenes.add(self._advanced(last, move) if self.memory is None else self._recalled(moves))
        self.moves.append(move)

    def draw_ahead(self) -> None:
        """Draws what the next frame begins with, so that it is there sooner: after one step of the network, not all.

        With a short memory a frame needs the moves before it drawn anew from the first frame. They are known by now.
        """
        if self.memory and self.moves:
            guessed = [*self.moves, self.moves[-1]]  # where the figure begins seldom depends on the new move
            recent, _, inwards = self._way(guessed)
            self._led(recent[:-1], inwards)

    def remember(self, memory: int | None) -> None:
        """Draws the clip anew with another memory; see the class."""
        moves = self.moves.copy()
        self.memory = memory
        self.reset()
        for move in moves:
            self.play(move)

    def _started(self, first: Tensor) -> Scene:
        return start(self.net, first)

    def _advanced(self, scene: Scene, move: Move) -> Scene:
        return advance(
            self.net,
            scene,
            foreground_shift=torch.tensor([move.foreground], device=self.device),
            local_action=torch.tensor([move.action], device=self.device),
            background_shift=torch.tensor([move.background], device=self.device),
        )

    def _recalled(self, moves: list[Move]) -> Scene:
        """The scene after the last of some moves from the first frame, shifted by all that came before them."""
        recent, came, inwards = self._way(moves)
        behind = torch.tensor([each.background for each in moves[: -len(recent)]]).reshape(-1, 2).sum(0)
        scene = self._advanced(self._led(recent[:-1], inwards), recent[-1])
        return shifted(scene, came - inwards)._replace(moved=scene.moved + behind.to(self.device))

    def _way(self, moves: list[Move]) -> tuple[list[Move], Tensor, Tensor]:
        """The moves that are remembered, where those before them led (2,), and from where (2,) the others begin.

        At the edge, where it stood at first, the figure might be cut off by moves that are now made elsewhere.
        """
        assert self.memory
        older, recent = moves[: -self.memory], moves[-self.memory :]
        came = torch.tensor([each.foreground for each in older]).reshape(-1, 2).sum(0)
        if not older:
            return recent, came, came
        mask = self.scenes.kept[0].m[0, 0].cpu()
        return recent, came, room(mask, torch.tensor([each.foreground for each in recent]))

    def _led(self, moves: list[Move], inwards: Tensor) -> Scene:
        """The scene after some moves from the first frame, which is shifted before. The latest one is kept."""
        asked = (moves, inwards.tolist())
        if self.drawn_ahead is None or self.drawn_ahead[0] != asked:
            scene = shifted(self.scenes.kept[0], inwards)
            for each in moves:
                scene = self._advanced(scene, each)
            self.drawn_ahead = asked, scene
        return self.drawn_ahead[1]

    def undo(self) -> bool:
        """Takes the last frame away.  Returns: whether there was one besides the first."""
        if not self.moves:
            return False
        self.scenes.drop()
        self.moves.pop()
        last = len(self) - 1
        if last not in self.scenes.kept:
            self.scenes.kept[last] = self._drawn_again(last)
        return True

    def _drawn_again(self, index: int) -> Scene:
        """The scene of a frame that is no longer kept."""
        if self.memory is not None:
            return self._recalled(self.moves[:index])
        before = self.scenes.before(index)
        scene = self.scenes.kept[before]
        for move in self.moves[before:index]:
            scene = self._advanced(scene, move)
        return scene

    def reset(self) -> None:
        """Goes back to the first frame alone."""
        self.scenes = Scenes(self.scenes.kept[0])
        self.moves.clear()

    def __len__(self) -> int:
        """The number of frames, the first included."""
        return self.scenes.count

    def picture(self, index: int = -1, *, mask: bool = False) -> Tensor:
        """One frame (3, h, w) in [0, 1], the last by default; the first is the one that was given.

        Args: mask, lay the foreground's mask over it, coloured.
        """
        index %= len(self)
        layers = self.scenes.layers(index)
        frame = self.first if index == 0 else layers[:3]
        if not mask:
            return frame
        share = 0.55 * layers[3:]
        return frame * (1 - share) + share * torch.tensor(MASK_COLOUR)[:, None, None]

    def video(self) -> Tensor:
        """All frames, (t, 3, h, w) in [0, 1]."""
        return torch.stack([self.picture(index) for index in range(len(self))])


def layers_of(scene: Any) -> Tensor:
    """(4, h, w) in [0, 1]: the picture of a scene, and the foreground's mask, 0 where the network knows of none."""
    picture = scene.picture[0].detach()
    mask = scene.m[0].detach() if hasattr(scene, "m") else torch.zeros_like(picture[:1])
    return torch.cat([picture, mask]).cpu()


def shifted(scene: Scene, by: Tensor) -> Scene:
    """The scene with its foreground elsewhere.  Args: by (2,) pixels, (x, y)."""
    if not by.any():
        return scene
    if scene.at is not None:
        return scene._replace(at=scene.at + by.to(scene.at))
    height, width = scene.agent.shape[-2:]
    delta = to_grid(by[None].to(scene.agent.device), height=height, width=width)
    return scene._replace(agent=shift(scene.agent, delta, padding="zeros"))


def room(mask: Tensor, shifts: Tensor) -> Tensor:
    """The least whole shift (2,) in pixels after which a figure stays in the frame through all of some shifts.

    Where there is none, one that leaves as much of it out at either side.

    Args: mask (h, w) in [0, 1], of the figure; shifts (n, 2) in pixels, (x, y), one after the other.
    """
    found = (mask > 0.5).nonzero().flip(-1)
    if not len(found):
        return torch.zeros(2)
    way = shifts.cumsum(0)
    least = -(found.amin(0) + way.amin(0).clamp(max=0))
    most = torch.tensor(mask.shape).flip(0) - 1 - found.amax(0) - way.amax(0).clamp(min=0)
    return torch.where(least > most, (least + most) / 2, torch.zeros(2).clamp(least, most)).round()


def moves_in(net: GLASS, video: Tensor) -> list[Move]:
    """The moves in a video, which another figure can then play.

    Args: video (t, 3, h, w) in [0, 1], of the size that the network plays at.   Returns: t - 1 moves.
    Raises: UserError, it has one frame only.
    """
    if len(video) < 2:
        raise UserError("a single picture shows no action: choose a video")
    return as_moves(infer(net, video[None].to(net.lma.codes.device)).actions)


def as_moves(actions: ActionSequence) -> list[Move]:
    """The actions of the first of b videos, one move a step."""
    shifts = zip(actions.foreground_shift[0].tolist(), actions.background_shift[0].tolist(), strict=True)
    return [
        Move(foreground=tuple(foreground), background=tuple(background), action=action)
        for (foreground, background), action in zip(shifts, actions.local_action[0].tolist(), strict=True)
    ]

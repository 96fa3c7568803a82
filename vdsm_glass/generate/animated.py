"""The verbs of models that infer actions from videos and draw videos from a first frame and actions."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from einops import rearrange, repeat
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.generate.vocabulary import GenerationProtocol, Model, reconstructed, transferred
from vdsm_glass.media import Source

LARGEST = 512
"""Pixels of the shorter side that such a model draws if the size it was trained on is not known."""


class AnimatedModel(Model):
    """A subclass says how actions are inferred and how they are drawn, and its network names its `frame_multiple`."""

    can = ("reconstruct", "transfer", "swap", "actions", "animate", "action_matrix")
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": reconstructed("first frame and inferred actions", given=1),
        "teacher_forced": GenerationProtocol(
            lambda model, video, *_: model.teacher_forced(video),
            about="every real frame before, inferred actions",
            given=1,
        ),
        "transfer": transferred("another clip's first frame", given=1),
    }

    @property
    def frame_multiple(self) -> int:
        """Height and width are multiples of it."""
        return self.network.frame_multiple

    @property
    @abstractmethod
    def k(self) -> int:
        """K, the number of actions."""

    @abstractmethod
    def inferred(self, clips: Tensor) -> Any:
        """The actions in clips (b, t, 3, h, w) in [0, 1]: a dataclass with `local_action` (b, t-1) and `map`."""

    @abstractmethod
    def drawn(self, first: Tensor, actions: Any) -> Tensor:
        """Videos (b, t, 3, h, w) in [0, 1] of first frames (b, 3, h, w) and actions."""

    @abstractmethod
    def teacher_forced(self, video: Source) -> Tensor:
        """Frames 2..T, each from the *real* frames before it, as GLASS's authors evaluate; frame 1 is real."""

    def frame_size(self, trained_on: tuple[int, int] | None) -> tuple[int, int] | None:
        """The size it was trained on, unless the network cannot take frames of that size."""
        fits = trained_on is not None and not any(side % self.frame_multiple for side in trained_on)
        return trained_on if fits else None

    def fit(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        share = min(1.0, LARGEST / min(height, width))
        multiple = self.frame_multiple
        return max(1, round(height * share / multiple)) * multiple, max(1, round(width * share / multiple)) * multiple

    def reconstruct(self, video: Source) -> Tensor:
        """animate(x_1, infer(x)); the first frame is the one that was given.  [GLASS Figs. 11, 12]"""
        clips, one = self.moving(video)
        return self.result(self.drawn(clips[:, 0], self.inferred(clips)), one)

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        """animate(y_1, infer(x)): other frames of the target are not looked at.  [GLASS Fig. 5]"""
        clips, first, one = self.pairs(source, target)
        steps = self.steps_within(clips, steps)
        found = self.inferred(moving(clips)).map(lambda value: value[:, : steps - 1])
        return self.result(self.drawn(first[:, 0], found), one)

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        clips = self.moving(videos)[0]
        first = (clips if identities is None else self.batch(identities)[0])[:, 0]
        n, m = len(first), len(clips)
        found = self.inferred(clips).map(lambda value: repeat(value, "m ... -> (n m) ...", n=n))
        drawn = self.drawn(repeat(first, "n ... -> (n m) ...", m=m), found)
        return self.result(rearrange(drawn, "(n m) t c h w -> n m t c h w", n=n))

    def actions(self, video: Source) -> Any:
        clips, one = self.moving(video)
        return self.inferred(clips).map(lambda value: self.result(value, one))

    def animate(self, first: Source, actions: Any) -> Tensor:
        pictures, one = self.batch(first)
        given = actions.map(lambda value: value.to(self.device))
        given = given.map(lambda value: value.unsqueeze(dim=0)) if actions.local_action.ndim == 1 else given
        if len(given.local_action) not in (1, len(pictures)):
            raise UserError(f"actions of {len(given.local_action)} videos cannot move {len(pictures)} first frames")
        return self.result(self.drawn(pictures[:, 0], given), one)

    def moving(self, source: Source) -> tuple[Tensor, bool]:
        """`batch`.  Raises: UserError, the videos are single pictures."""
        clips, one = self.batch(source)
        return moving(clips), one


def moving(clips: Tensor) -> Tensor:
    """The clips.  Raises: UserError, they have one frame each."""
    if clips.shape[1] < 2:
        raise UserError("a video of one frame shows no action; give one of at least two")
    return clips

"""What a trained model can be asked for, whichever it is."""

# ruff: noqa: ARG002  (the signatures are the vocabulary; who cannot do a thing looks at no argument)
from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from data_modules.common.errors import UserError
from vdsm_glass.architecture import Network
from vdsm_glass.export import Trained
from vdsm_glass.generate.action_matrices import STEPS
from vdsm_glass.generate.protocols import LONG
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.glass.animation import ActionSequence
from vdsm_glass.media import Source, read_frames


class Model:
    """What all models have; what one of them cannot do raises a UserError that says what it can.

    Args: size, (height, width) of frames; None where a GLASS takes them as they come, cropped to multiples of 16.
    """

    name: ClassVar[str]
    can: ClassVar[tuple[str, ...]]

    def __init__(self, trained: Trained, device: torch.device) -> None:
        self.network: Network = trained.network.to(device)
        self.size = trained.size
        self.device = device

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, device={self.device}): {', '.join(self.can)}"

    def reconstruct(self, video: Source) -> Tensor:
        """A video taken apart and put together again: ([b,] t, 3, h, w)."""
        clips, one = self.batch(video)
        return unbatched(reconstruct(self.network, clips), one)

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        """What happens in `source`, happening to who is in `target`: ([b,] steps, 3, h, w), pair by pair.

        One source serves many targets, and one target many sources. Args: steps, frames, the source's by default.
        """
        raise self.cannot("transfer")

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        """Everybody doing everything: (n, m, t, 3, h, w), row i has the identity i, column j the motion j.

        Args: videos, m of them, whose motions are taken; identities, n others, by default the same.
        """
        raise self.cannot("swap")

    def rollout(
        self,
        video: Source,
        *,
        steps: int = LONG,
        dynamics: Literal["posterior", "prior"] = "posterior",
        seed: int | None = None,
    ) -> Tensor:
        """What happens in a video, for `steps` frames: ([b,] steps, 3, h, w).

        Args: dynamics, "prior" goes on from the first pose by the transition; seed, to draw from it, not its mean.
        """
        raise self.cannot("rollout")

    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        """From one video's identity, or motion, to another's, all else as in `source`: (count, t, 3, h, w)."""
        raise self.cannot("interpolate")

    def sample(self, count: int = 4, *, steps: int = 16, seed: int = 0) -> Tensor:
        """Videos that nobody filmed, from the prior: (count, steps, 3, h, w), the same for the same seed."""
        raise self.cannot("sample")

    def actions(self, video: Source) -> ActionSequence:
        """What happens between the frames of a video: tensors ([b,] t-1, ...), shifts in pixels."""
        raise self.cannot("actions")

    def animate(self, first: Source, actions: ActionSequence) -> Tensor:
        """The first frame of a video, or a picture, moved by actions: ([b,] steps + 1, 3, h, w)."""
        raise self.cannot("animate")

    def action_matrix(
        self,
        first: Source,
        *,
        of: Literal["local", "global"] = "local",
        steps: int = STEPS,
        pixels: float | None = None,
    ) -> Tensor:
        """What each action does to the first frames of n videos: (n, K, steps + 1, 3, h, w).

        Args: of, the K local actions, or shifts right, left, down, up and none; pixels a step, for these.
        """
        raise self.cannot("action_matrix")

    def cannot(self, verb: str) -> UserError:
        """The error for what this model cannot do."""
        return UserError(f"{self.name} cannot do {verb!r}; it can do {', '.join(self.can)}")

    def read(self, source: Source, *, most: int | None = None) -> Tensor:
        """The frames of a video as the model sees them: ([b,] t, 3, h, w) in [0, 1] on the CPU."""
        return read_frames(source, self.fit, most=most)

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the model takes frames of `height` and `width`."""
        return self.size or (height, width)

    def batch(self, source: Source) -> tuple[Tensor, bool]:
        """(b, t, 3, h, w) on the model's device, and whether the source is one video."""
        video = self.read(source)
        one = video.ndim == 4
        return (video.unsqueeze(dim=0) if one else video).to(self.device), one

    def pairs(self, source: Source, target: Source) -> tuple[Tensor, Tensor, bool]:
        """Two batches of one length b, and whether both sources are one video.  Raises: UserError, 3 and 5, say."""
        (a, one), (b, other) = self.batch(source), self.batch(target)
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise UserError(f"{len(a)} videos and {len(b)} make no pairs; give as many of both, or one of either")
        n = max(len(a), len(b))
        return a.expand(n, *a.shape[1:]), b.expand(n, *b.shape[1:]), one and other


def unbatched(value: Tensor, one: bool) -> Tensor:
    """On the CPU, without the batch where it was one video."""
    return (value[0] if one else value).cpu()


def at_least(value: int, least: int, name: str) -> int:
    """The value.  Raises: UserError, it is too small."""
    if value < least:
        raise UserError(f"{name} is {value}, expected {least} or more")
    return value

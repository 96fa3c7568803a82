"""What trivial models can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from data_modules.batch import VideoBatch
from vdsm_glass.generate.vocabulary import GenerationProtocol, Model, reconstructed, transferred
from vdsm_glass.media import Source
from vdsm_glass.trivial.networks import Memory, RigidCrop

CANDIDATES = 8
"""Of so many clips that begin alike one is drawn."""


def protocols(reconstruction: str, transfer: str, *, given: int = 1) -> dict[str, GenerationProtocol]:
    """Reconstruction and transfer by the verbs of those names.  Args: what each makes a clip of; given, frames."""
    return {
        "reconstruction": reconstructed(reconstruction, given=given),
        "transfer": transferred(transfer, given=given),
    }


class TrivialModel(Model):
    """A model that learns next to nothing: one that learns has to beat it."""

    trivial = True
    can = ("reconstruct", "transfer")
    network_arguments = ()
    says: ClassVar[str]

    @property
    def about(self) -> str:
        return self.says

    def reconstruct(self, video: Source) -> Tensor:
        clips, one = self.batch(video)
        return self.result(self.rebuilt(clips), one)

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        motion, identity, one = self.pairs(source, target)
        return self.result(self.transferred(motion[:, : self.steps_within(motion, steps)], identity), one)

    def rebuilt(self, clips: Tensor) -> Tensor:
        """Clips (b, t, 3, h, w) in [0, 1] drawn anew."""
        return self.transferred(clips, clips)

    def transferred(self, motion: Tensor, identity: Tensor) -> Tensor:
        """What happens in clips (b, t, 3, h, w), to the identity in as many others (b, t', 3, h, w): (b, t, ...)."""
        raise NotImplementedError


class FirstFrameModel(TrivialModel):
    """The first frame, which stays."""

    title = "First frame"
    says = "It copies the first frame of a clip for as long as the clip lasts. It learns nothing."
    protocols: ClassVar[dict[str, GenerationProtocol]] = protocols(
        "the first frame, which stays", "another clip's first frame, which stays"
    )

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> nn.Module:  # noqa: ARG003
        return nn.Identity()

    def transferred(self, motion: Tensor, identity: Tensor) -> Tensor:
        return identity[:, :1].expand(-1, motion.shape[1], *identity.shape[2:])


class MemoryModel(TrivialModel):
    """A model of training clips that are kept."""

    network_arguments = ("clips", "frames", "size")
    network: Memory

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> Memory:
        height, width = arguments["size"]
        return Memory(clips=arguments["clips"], frames=arguments["frames"], size=(height, width))

    def frame_size(self, trained_on: tuple[int, int] | None) -> tuple[int, int]:  # noqa: ARG002
        return self.network.size


class NearestClipModel(MemoryModel):
    """The training clip that is nearest."""

    title = "Nearest training clip"
    says = (
        "It shows the clip of its training set that differs least from the one it is given, pixel by pixel. It keeps "
        "those clips as they are and learns nothing."
    )
    protocols: ClassVar[dict[str, GenerationProtocol]] = protocols(
        "the nearest training clip", "the training clip nearest to both", given=0
    )

    def rebuilt(self, clips: Tensor) -> Tensor:
        """The kept clip with the least squared difference in all frames."""
        return self.network.recalled(self.network.distances(clips).argmin(dim=1), frames=clips.shape[1])

    def transferred(self, motion: Tensor, identity: Tensor) -> Tensor:
        """The kept clip whose distances to `motion` and to `identity` have the least sum."""
        distances = self.network.distances(motion) + self.network.distances(identity)
        return self.network.recalled(distances.argmin(dim=1), frames=motion.shape[1])


class RandomActionModel(MemoryModel):
    """What some training clip that begins alike goes on with."""

    title = "Random action"
    says = (
        "It looks at a clip's first frame alone, and goes on as one of the training clips that begin most alike, drawn "
        "at random. It keeps those clips as they are and learns nothing."
    )
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": GenerationProtocol(
            lambda model, video, _, generator: model.drawn(video, video.shape[1], generator),
            about="first frame, a random action",
            given=1,
        ),
        "transfer": GenerationProtocol(
            lambda model, video, other, generator: model.drawn(other, video.shape[1], generator),
            about="another clip's first frame, a random action",
            paired=False,
            needs_others=True,
            given=1,
        ),
    }

    def transferred(self, motion: Tensor, identity: Tensor) -> Tensor:
        return self.drawn(identity, motion.shape[1], self.generator(0))

    @property
    def k(self) -> int:
        """K, the number of actions that there are to choose from."""
        return CANDIDATES

    def drawn(self, clips: Tensor, frames: int, generator: torch.Generator) -> Tensor:
        """The first frames of `clips` (b, t, 3, h, w), and how one of K clips goes on: (b, frames, 3, h, w)."""
        action = torch.randint(self.k, (len(clips),), generator=generator, device=generator.device)
        return self.acted(clips, action, frames)

    def acted(self, clips: Tensor, action: Tensor, frames: int) -> Tensor:
        """As `drawn`.  Args: action (b,), from 0 to K - 1, the place among the clips that begin alike, nearest first;

        where fewer are kept, it begins again at the nearest.
        """
        distances = self.network.distances(clips[:, :1])
        nearest = distances.topk(min(self.k, distances.shape[1]), largest=False).indices
        chosen = nearest.gather(1, action[:, None] % nearest.shape[1])[:, 0]
        return torch.cat([clips[:, :1], self.network.recalled(chosen, frames=frames)[:, 1:]], dim=1)


class TrueShiftsModel(TrivialModel):
    """The figure of the first frame, moved by the true shifts as it is."""

    title = "True shifts"
    network_arguments = ("threshold",)
    network: RigidCrop
    says = (
        "It cuts the figure out of the first frame and moves it, as it is, by the shifts that the labels say, before a "
        "background that moves likewise. Where there are no labels, phase correlation finds the shifts. It learns "
        "nothing."
    )
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": GenerationProtocol(
            lambda model, batch, *_: model.labelled(batch, batch),
            about="first frame, true mask and shifts",
            given=1,
            needs_labels=True,
        ),
        "transfer": GenerationProtocol(
            lambda model, batch, other, _: model.labelled(batch, other),
            about="another clip's first frame and true mask, true shifts",
            paired=False,
            needs_others=True,
            given=1,
            needs_labels=True,
        ),
    }

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> RigidCrop:
        return RigidCrop(threshold=float(arguments["threshold"]))

    def transferred(self, motion: Tensor, identity: Tensor) -> Tensor:
        _, *shifts = self.network.found(motion)
        mask, *_ = self.network.found(identity)
        return self.network(identity[:, 0], mask, *shifts)

    def labelled(self, motion: VideoBatch, identity: VideoBatch) -> Tensor:
        """`transferred`, of clips with labels; what has none is found."""
        mask = self.network.found(identity.video)[0] if identity.mask is None else identity.mask[:, 0]
        f, b = motion.foreground_shift, motion.background_shift
        shifts = self.network.found(motion.video)[1:] if f is None or b is None else (f, b)
        return self.network(identity.video[:, 0], mask, *shifts)

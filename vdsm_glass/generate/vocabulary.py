"""What every trained model can be asked for: one vocabulary of verbs, and the protocols under which it is scored."""

# ruff: noqa: ARG002  (the signatures are the vocabulary; a model that lacks a verb looks at no argument)
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass.media import Source, read_frames

if TYPE_CHECKING:
    from vdsm_glass.architecture import Architecture
    from vdsm_glass.glass.animation import ActionSequence

LONG = 60
"""Frames of a rollout.  [VDSM suppl. Fig. 4]"""
STEPS = 8
"""Frames that an action matrix draws after the first.  [GLASS appendix D]"""
Density = Literal["fitted", "prior"]
DENSITIES: dict[Density, str] = {"fitted": "the density fitted to training clips", "prior": "the prior"}
"""What `Model.sample` can draw from, in words."""


@dataclass(frozen=True)
class GenerationProtocol:
    """A way to make clips out of real ones, so that they can be scored.  [METRICS, protocols]

    Args:
        make: (model, video, other, generator) -> clips (b, t', 3, h, w) in [0, 1], from video (b, t, 3, h, w) in
            [0, 1]; other, as many other clips, or video itself if `needs_others` is not set; generator, on the model's
            device.
        about: in words, for the reported protocol.
        paired: whether a clip should equal the one it was made of, so that both can be compared frame by frame.
        needs_others: whether other clips are looked at.
        given: leading frames that are shown to the renderer and copied into the clip.
        needs_labels: whether `video` and `other` are `VideoBatch`es, whose labels are looked at.
        lacks: (model) -> why this one, unlike others of its kind, cannot do it; empty if it can.
    """

    make: Callable[[Any, Any, Any, torch.Generator], Tensor]
    about: str
    paired: bool = True
    needs_others: bool = False
    given: int = 0
    needs_labels: bool = False
    lacks: Callable[[Any], str] = lambda _: ""


def reconstructed(about: str, *, given: int = 0) -> GenerationProtocol:
    """The protocol of the verb `reconstruct`."""
    return GenerationProtocol(lambda model, video, *_: model.reconstruct(video), about=about, given=given)


def transferred(about: str, *, given: int = 0) -> GenerationProtocol:
    """The protocol of the verb `transfer`."""
    return GenerationProtocol(
        lambda model, video, other, _: model.transfer(video, other),
        about=about,
        paired=False,
        needs_others=True,
        given=given,
    )


class Model:
    """A trained network with its verbs. A verb that a model lacks raises a UserError that says what the model can do.

    A subclass says in its class attributes what the rest of the program needs to know of its kind.

    Args:
        network: in evaluation mode, without gradients.
        architecture: what the network is besides its weights; needed for `export` alone.
        trained_on: (height, width) of the frames it was trained on, if that is known.
        device: where it computes.
        output_device: where the videos that it makes end up.
    """

    title: ClassVar[str]
    can: ClassVar[tuple[str, ...]]
    protocols: ClassVar[dict[str, GenerationProtocol]] = {}
    trivial: ClassVar[bool] = False
    """Whether it learns next to nothing, so that a model that learns has to beat it."""
    network_arguments: ClassVar[tuple[str, ...]]
    """Hyper-parameters of its LightningModule that `build` takes."""
    page: ClassVar[str] = "vdsm_glass.play.page_clips.add"
    """The import path of the function that adds its page, `(model, data, *, about, address="/")`, data a dataset,
    clips or None; see `vdsm_glass.commands.play`."""
    web: ClassVar[str] = ""
    """The import path of the function that makes its `vdsm_glass.web.page.WebPage`, `(model, data)`; empty: none."""

    def __init__(
        self,
        network: nn.Module,
        *,
        architecture: Architecture | None = None,
        trained_on: tuple[int, int] | None = None,
        device: torch.device | str = "cpu",
        output_device: torch.device | str = "cpu",
    ) -> None:
        self.network: Any = network.to(device)
        self.architecture = architecture
        self.device, self.output_device = torch.device(device), torch.device(output_device)
        self.size = self.frame_size(trained_on)
        """(height, width) of the frames it takes; None if it takes any that `fit` returns."""

    def __repr__(self) -> str:
        can = ", ".join(f"sample (from {DENSITIES[self.densities[0]]})" if v == "sample" else v for v in self.can)
        return f"{type(self).__name__}(size={self.size}, device={self.device}): {can}"

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> nn.Module:
        """An untrained network from plain values.  Raises: KeyError, TypeError or ValueError, values that make none."""
        raise NotImplementedError

    @classmethod
    def carry(cls, network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Gives a network what its file holds beside the weights, as `carried` gave it.

        Raises: ValueError or UserError, nothing of that kind goes with it.
        """
        raise ValueError(
            f"nothing is fitted to {type(network).__name__}, and here is {', '.join(sorted(tensors))[:200]}"
        )

    def carried(self) -> dict[str, Tensor]:
        """What an export holds beside the weights, by name."""
        return {}

    @property
    def densities(self) -> tuple[Density, ...]:
        """What `sample` can draw from; the first is its default."""
        return ("prior",)

    @property
    def about(self) -> str:
        """What the model is, in two sentences, for the page about an export."""
        raise NotImplementedError

    @property
    def page_title(self) -> str:
        """What its page is called."""
        return f"Play with {self.title}"

    def frame_size(self, trained_on: tuple[int, int] | None) -> tuple[int, int] | None:
        """(height, width) of the frames it takes, given that of the frames it was trained on."""
        return trained_on

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """The size at which the model takes frames of `height` and `width`."""
        return self.size or (height, width)

    def reconstruct(self, video: Source) -> Tensor:
        """A video taken apart and put together again: ([b,] t, 3, h, w)."""
        raise self.cannot("reconstruct")

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        """What happens in `source`, happening to the identity in `target`: ([b,] steps, 3, h, w), pair by pair.

        One source serves many targets, and one target many sources. Args: steps, frames, the source's by default.
        """
        raise self.cannot("transfer")

    def swap(self, videos: Source, identities: Source | None = None) -> Tensor:
        """Every identity in every motion: (n, m, t, 3, h, w), row i has the identity i, column j the motion j.

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

    def sample(
        self, count: int = 4, *, steps: int = 16, seed: int | torch.Generator = 0, density: Density | None = None
    ) -> Tensor:
        """Videos of nobody in particular, drawn by chance: (count, steps, 3, h, w), the same for the same seed.

        Args: density, one of `densities`: "fitted" to the latents of training clips, which is the default where the
            model carries one, or the "prior".
        Raises: UserError, the model carries no fitted density.
        """
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
        local_action: int = 0,
    ) -> Tensor:
        """What each action does to the first frames of n videos: (n, K, steps + 1, 3, h, w).

        Args: of, the K local actions, or shifts right, left, down, up and none; pixels a step and local_action, for
        these.
        """
        raise self.cannot("action_matrix")

    def cannot(self, verb: str) -> UserError:
        """The error for what this model cannot do."""
        return UserError(f"{self.title} cannot do {verb!r}; it can do {', '.join(self.can)}")

    def protocol(self, name: str) -> GenerationProtocol:
        """The protocol of that name.  Raises: UserError, this model has none."""
        if name not in self.protocols:
            what = f"{self.title} cannot be asked for {name!r}"
            raise UserError(f"{what}{did_you_mean(name, self.protocols)}; it knows {', '.join(self.protocols)}")
        return self.protocols[name]

    def read(self, source: Source, *, most: int | None = None) -> Tensor:
        """The frames of a video as the model sees them: ([b,] t, 3, h, w) in [0, 1]."""
        return read_frames(source, self.fit, most=most)

    def batch(self, source: Source) -> tuple[Tensor, bool]:
        """(b, t, 3, h, w) on the model's device, and whether the source is one video."""
        video = self.read(source)
        one = video.ndim == 4
        return (video.unsqueeze(dim=0) if one else video).to(self.device), one

    def pairs(self, source: Source, target: Source) -> tuple[Tensor, Tensor, bool]:
        """Two batches of one length b, and whether both sources are one video.

        Raises: UserError, the numbers of videos differ and neither is 1.
        """
        (a, one), (b, other) = self.batch(source), self.batch(target)
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise UserError(f"{len(a)} videos and {len(b)} make no pairs; give as many of both, or one of either")
        n = max(len(a), len(b))
        return a.expand(n, *a.shape[1:]), b.expand(n, *b.shape[1:]), one and other

    def steps_within(self, clips: Tensor, steps: int | None) -> int:
        """The `steps` of a transfer, all of the source's by default.  Args: clips, the sources (b, t, 3, h, w).

        Raises: UserError, there are fewer than 1, or more than t.
        """
        if steps is not None and at_least(steps, 1, "steps") > clips.shape[1]:
            raise UserError(
                f"{steps} frames are asked for, but the source has {clips.shape[1]}: {self.title} shows what happens "
                "in them and no more"
            )
        return clips.shape[1] if steps is None else steps

    def result(self, value: Tensor, one: bool = False) -> Tensor:
        """A batch on the output device, or its only element if `one`."""
        return (value[0] if one else value).to(self.output_device)

    def generator(self, seed: int | torch.Generator) -> torch.Generator:
        """Noise on the model's device."""
        return seed if isinstance(seed, torch.Generator) else torch.Generator(self.device).manual_seed(seed)


def at_least(value: int, least: int, name: str) -> int:
    """The value.  Raises: UserError, it is too small."""
    if value < least:
        raise UserError(f"{name} is {value}, expected {least} or more")
    return value

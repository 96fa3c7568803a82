"""What it can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from tests.third_model.network import MeanFrame
from vdsm_glass.generate.vocabulary import GenerationProtocol, Model
from vdsm_glass.media import Source


class MeanFrameModel(Model):
    """A mean frame and what moves around it."""

    title = "Mean frame"
    can = ("reconstruct", "transfer")
    about = "It takes a clip apart into its mean frame and what each frame adds to it."
    network_arguments = ("start",)
    network: MeanFrame
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        "reconstruction": GenerationProtocol(lambda model, video, *_: model.reconstruct(video), about="its two parts"),
        "transfer": GenerationProtocol(
            lambda model, video, other, _: model.transfer(video, other),
            about="another clip's mean frame",
            paired=False,
            needs_others=True,
        ),
    }

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> MeanFrame:
        return MeanFrame(start=float(arguments["start"]))

    def reconstruct(self, video: Source) -> Tensor:
        clips, one = self.batch(video)
        return self.result(self.network(clips, self.network.identity(clips)), one)

    def transfer(self, source: Source, target: Source, *, steps: int | None = None) -> Tensor:
        motion, identity, one = self.pairs(source, target)
        return self.result(self.network(motion[:, :steps], self.network.identity(identity)), one)

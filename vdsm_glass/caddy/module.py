"""CADDY as a LightningModule: it only wires."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from vdsm_glass.caddy.losses import LossWeights, caddy_terms
from vdsm_glass.caddy.network import CADDY
from vdsm_glass.caddy.sizes import CADDYSizes
from vdsm_glass.discrete.module import DiscreteModule
from vdsm_glass.layers import vgg
from vdsm_glass.sizes import as_sizes


class CADDYModule(DiscreteModule):
    """Draws videos through a bottleneck of one discrete action a frame.  [CADDY]

    Args:
        sizes: widths.
        weights: λ of the losses.
        perceptual: L_VGG with the weights of VGG-19, with random ones, or none.
        perceptual_weights: their file, if it is not in the cache.
        temperature: τ of the Gumbel-softmax, where no schedule changes it.
        learning_rate, weight_decay: Adam's.
        learning_rate_drop: [step, factor]: from that step on, the rate is that much smaller.
        learning_rate_decay: [first step, last step] between which the rate falls to a fiftieth, on a line.
        channels_last: lay pictures out with channels last.

    Raises: UserError, VGG-19 is asked for and its weights are not there.
    """

    kind = "caddy"
    title = "CADDY"
    net: CADDY
    weights: LossWeights

    def __init__(
        self,
        sizes: CADDYSizes = CADDYSizes(),  # noqa: B008  (frozen)
        weights: LossWeights = LossWeights(),  # noqa: B008
        perceptual: vgg.Kind = "vgg19",
        perceptual_weights: Path | None = None,
        temperature: float = 1.0,
        learning_rate: float = 4e-4,
        weight_decay: float = 1e-6,
        learning_rate_drop: tuple[int, float] | None = None,
        learning_rate_decay: tuple[int, int] | None = None,
        channels_last: bool = False,
    ) -> None:
        sizes = as_sizes(sizes, CADDYSizes)
        super().__init__(
            CADDY(sizes),
            weights=weights,
            perceptual=vgg.make(perceptual, weights=perceptual_weights),
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            learning_rate_drop=learning_rate_drop,
            learning_rate_decay=learning_rate_decay,
            channels_last=channels_last,
        )
        self.save_hyperparameters({"kind": self.kind, "sizes": asdict(sizes)})
        self.temperature = temperature

    def schedule(self, *, temperature: float | None = None, **given: int) -> None:
        self.temperature = self.temperature if temperature is None else temperature
        super().schedule(**given)

    def terms(self, video: Tensor, *, T_f: int) -> dict[str, Tensor]:
        played = self.net(video, T_f=T_f, temperature=self.temperature)
        return caddy_terms(video, played, weights=self.weights, perceptual=self.perceptual)

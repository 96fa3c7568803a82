"""The latent action model as a LightningModule: it only wires."""

from __future__ import annotations

from dataclasses import asdict

from torch import Tensor

from vdsm_glass.discrete.module import DiscreteModule
from vdsm_glass.latent_actions.losses import LossWeights, latent_action_terms
from vdsm_glass.latent_actions.network import LatentActions
from vdsm_glass.latent_actions.sizes import LatentActionSizes
from vdsm_glass.layers.quantizer import Quantizer
from vdsm_glass.sizes import as_sizes


class LatentActionsModule(DiscreteModule):
    """Draws each frame from those before it and one of K codes, which is inferred from that frame and the one before.

    [Genie section 2.1; its tokenizer and its dynamics model are not part of this one.]

    Args:
        sizes: widths and variants.
        weights: λ of the losses.
        learning_rate, weight_decay: Adam's.
        learning_rate_decay: [first step, last step] between which the rate falls to a fiftieth, on a line.
        channels_last: lay pictures out with channels last.
    """

    kind = "latent_actions"
    title = "The latent action model"
    net: LatentActions
    weights: LossWeights

    def __init__(
        self,
        sizes: LatentActionSizes = LatentActionSizes(),  # noqa: B008  (frozen)
        weights: LossWeights = LossWeights(),  # noqa: B008
        learning_rate: float = 4e-4,
        weight_decay: float = 1e-6,
        learning_rate_decay: tuple[int, int] | None = None,
        channels_last: bool = False,
    ) -> None:
        sizes = as_sizes(sizes, LatentActionSizes)
        super().__init__(
            LatentActions(sizes),
            weights=weights,
            perceptual=None,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            learning_rate_drop=None,
            learning_rate_decay=learning_rate_decay,
            channels_last=channels_last,
        )
        self.save_hyperparameters({"kind": self.kind, "sizes": asdict(sizes)})

    @property
    def quantizer(self) -> Quantizer:
        """Whose choices are counted."""
        return self.net.VQ

    def terms(self, video: Tensor, *, T_f: int) -> dict[str, Tensor]:
        return latent_action_terms(video, self.net(video, T_f=T_f), weights=self.weights)

"""The verbs and protocols of the latent action model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdsm_glass.discrete.model import DiscreteModel
from vdsm_glass.latent_actions.network import LatentActions
from vdsm_glass.latent_actions.sizes import LatentActionSizes
from vdsm_glass.sizes import as_sizes


class LatentActionsModel(DiscreteModel):
    """An inverse model, a codebook and a forward model."""

    title = "Latent actions"
    network: LatentActions

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> LatentActions:
        return LatentActions(as_sizes(arguments["sizes"], LatentActionSizes))

    @property
    def about(self) -> str:
        return (
            f"A latent action model infers one of {self.k} codes between each two frames of a video, without labels, "
            "and draws the next frame from past ones and a code [after Bruce et al., Genie, arXiv 2402.15391]."
        )

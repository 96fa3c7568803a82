"""The verbs and protocols of CADDY."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdsm_glass.caddy.network import CADDY
from vdsm_glass.caddy.sizes import CADDYSizes
from vdsm_glass.discrete.model import DiscreteModel
from vdsm_glass.sizes import as_sizes


class CADDYModel(DiscreteModel):
    """An encoder, an action network, recurrent dynamics and a decoder."""

    title = "CADDY"
    network: CADDY

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> CADDY:
        return CADDY(as_sizes(arguments["sizes"], CADDYSizes))

    @property
    def about(self) -> str:
        return (
            f"CADDY learns {self.k} discrete actions from videos without labels, by drawing each video anew from its "
            "first frame and one action a frame [Menapace et al., Playable Video Generation, arXiv 2101.12195]."
        )

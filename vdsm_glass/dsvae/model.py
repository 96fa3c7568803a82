"""The verbs and protocols of the DSVAE family, which are VDSM's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.generate.vdsm import VDSMModel
from vdsm_glass.sizes import as_sizes


class DSVAEModel(VDSMModel):
    """DSVAE, C-DSVAE or DBSE: the dynamics z_{1:T} of a clip stand where VDSM has its d.

    A transfer or rollout that is longer than the clip goes on by the means of the prior.
    """

    title = "DSVAE"
    web = ""
    network: Any

    @classmethod
    def build(cls, arguments: Mapping[str, Any]) -> DSVAE:  # pyright: ignore[reportIncompatibleMethodOverride]
        return DSVAE(as_sizes(arguments["sizes"], Sizes))

    @property
    def about(self) -> str:
        sizes = self.network.sizes
        who = "its first frame alone [DBSE, arXiv 2406.18131]" if sizes.single_element else "the whole clip"
        return (
            f"It takes a clip apart into what stays (s, {sizes.kappa_s} numbers), inferred from {who}, and what moves "
            f"(z, {sizes.kappa_z} numbers a frame) [Li and Mandt, arXiv 1803.02991]. An LSTM says how it goes on."
        )

"""The verbs and protocols of the DSVAE family, which are VDSM's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from vdsm_glass.dsvae.network import DSVAE
from vdsm_glass.dsvae.sizes import Sizes
from vdsm_glass.generate.vdsm import VDSMModel
from vdsm_glass.media import Source
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

    def interpolate(
        self, source: Source, target: Source, *, count: int = 7, of: Literal["identity", "motion"] = "identity"
    ) -> Tensor:
        """As VDSM's; between the motions of two clips, as many frames as the shorter one has."""
        a, b = self.batch(source)[0], self.batch(target)[0]
        steps = min(a.shape[1], b.shape[1]) if of == "motion" else max(a.shape[1], b.shape[1])
        return super().interpolate(a[:, :steps], b[:, :steps], count=count, of=of)

    @property
    def about(self) -> str:
        sizes = self.network.sizes
        who = "its first frame alone [DBSE, arXiv 2406.18131]" if sizes.single_element else "the whole clip"
        return (
            f"It takes a clip apart into what stays (s, {sizes.kappa_s} numbers), inferred from {who}, and what moves "
            f"(z, {sizes.kappa_z} numbers a frame) [Li and Mandt, arXiv 1803.02991]. An LSTM says how it goes on."
        )

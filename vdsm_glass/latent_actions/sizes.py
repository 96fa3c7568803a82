"""Widths and variants of the latent action model."""

from __future__ import annotations

from dataclasses import dataclass

from vdsm_glass.sizes import check_counts, check_widths, width


@dataclass(frozen=True)
class LatentActionSizes:
    """Widths of both networks.

    Args:
        actions: K; Genie has 8.
        code_size: of an action's code; Genie has 32.
        inverse_channels: of the inverse model at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        forward_channels: of the forward model at 1/2, 1/4 and 1/8.
        memory: how many past frames the forward model sees; Genie's sees all.
        codebook_start: training steps after which the codes are placed, at the centres of what the inverse model gives;
            until then an action is what it gives. 0, as in Genie, quantizes from the first step on.
        revive_after: a code that no pair of frames has chosen for so many steps is put where a pair is; 0, as in Genie,
            leaves it.

    Raises: ValueError, a width that is out of its bounds, or a wrong number of them.
    """

    actions: int = width(8, least=2)
    code_size: int = width(32)
    inverse_channels: tuple[int, int, int, int] = width((32, 64, 128, 128))
    forward_channels: tuple[int, int, int] = width((32, 64, 128))
    memory: int = width(4, most=64)
    codebook_start: int = width(0, least=0, most=1 << 40)
    revive_after: int = width(0, least=0, most=1 << 40)

    def __post_init__(self) -> None:
        check_widths(self)
        check_counts(self)

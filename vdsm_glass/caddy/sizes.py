"""Widths of CADDY."""

from __future__ import annotations

from dataclasses import dataclass

from vdsm_glass.sizes import check_counts, check_widths, width


@dataclass(frozen=True)
class CADDYSizes:
    """Widths of E, A, R and D; the paper's are not known here, those of GLASS's Tennis are the defaults.

    Args:
        encoder_channels: of E at 1/2, 1/4 and 1/8 of the resolution; the last is that of f_t.
        actions: K.
        action_channels: of A's convolutions.
        direction_size: numbers in the action embedding e_t, the direction d_t and the variability v_t.
        hidden, hidden_middle: of R's ConvLSTMs at 1/8, and at 1/16.
        decoder_channels: of D at 1/4, 1/2 and all of the resolution.

    Raises: ValueError, a width that is out of its bounds, or a wrong number of them.
    """

    encoder_channels: tuple[int, int, int] = width((16, 32, 64))
    actions: int = width(7, least=2)
    action_channels: int = width(128)
    direction_size: int = width(2)
    hidden: int = width(64)
    hidden_middle: int = width(128)
    decoder_channels: tuple[int, int, int] = width((128, 64, 32))

    def __post_init__(self) -> None:
        check_widths(self)
        check_counts(self)

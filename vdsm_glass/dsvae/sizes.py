"""The sizes of the DSVAE family."""

from __future__ import annotations

from dataclasses import dataclass

from vdsm_glass.sizes import check_widths, width
from vdsm_glass.vdsm.sizes import Sizes as FrameSizes


@dataclass(frozen=True)
class Sizes:
    """Widths and latent sizes.

    Args:
        kappa_z: dynamic z_t. kappa_s: static s.
        rnn_dim: of every LSTM, in each direction.
        encoder_channels, decoder_channels: as VDSM's.
        single_element: DBSE: s is inferred from the first frame, whose features are taken away from the dynamics.

    Raises:
        ValueError: a size is out of its bounds, or encoder and decoder do not agree on the frame's size.
    """

    kappa_z: int = width(32)
    kappa_s: int = width(256)
    rnn_dim: int = width(256)
    encoder_channels: tuple[int, ...] = width((32, 32, 64, 64, 256))
    decoder_channels: tuple[int, ...] = width((512, 256, 128, 64))
    single_element: bool = False

    def __post_init__(self) -> None:
        check_widths(self)
        self.frames  # noqa: B018  (it raises if encoder and decoder do not agree)

    @property
    def frames(self) -> FrameSizes:
        """The sizes of VDSM's convolutions, with one decoder."""
        return FrameSizes(
            kappa_z=self.kappa_z,
            kappa_s=self.kappa_s,
            encoder_channels=self.encoder_channels,
            decoder_channels=self.decoder_channels,
            single_decoder=True,
        )

    @property
    def frame_size(self) -> int:
        """Height and width of the frames, in pixels."""
        return self.frames.frame_size

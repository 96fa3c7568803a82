"""The sizes of VDSM."""

from __future__ import annotations

from dataclasses import dataclass

from vdsm_glass.sizes import check_widths, layers, width


@dataclass(frozen=True)
class Sizes:
    """Widths and latent sizes.  [VDSM suppl. Table 2 and section 3; defaults are the Sprites column]

    Args:
        kappa_z: pose z_t. kappa_s: identity s, also the number of experts. kappa_d: dynamics d.
        rnn_layers, rnn_dim: of the bi-LSTM encoder and of the LSTM decoder.
        combiner_dim, transition_dim: hidden widths of q(z_t | z_{t-1}, h_t, d) and of p(z_t | z_{t-1}, d).
        encoder_channels: outputs of the encoder's convolutions; all but the last halve the frame.
        identity_dim: hidden width between the encoder's features and s.
        decoder_channels: outputs of the decoder's transposed convolutions but the last, which has 3.
        single_decoder: ablation of section 6: one decoder, s̃ as an input only.
        mixture_dim: ours, not the paper's: hidden width of a network between s and the experts, see `MixtureLogits`; 0
            for the paper's, where there is none.
        identity_encoder: ours, not the paper's: s is inferred by convolutions of its own, which poses do not share.
        anonymous_dynamics: ours, not the paper's: d is inferred from poses in a drawing with the identity 0, see
            `SequenceVDSM`.
        first_pose_from_d: ours, not the paper's: p(z_1 | d), learned in stage 2, in place of N(0, I).
        transition_memory: ours, not the paper's: width of a memory of all poses before, for p(z_t | z_{t-1}, d); 0 for
            the paper's.
        motions: ours, not the paper's: p(d) is a mixture of up to so many Gaussians that is fitted as stage 2 goes, see
            `Motions`; 0 for the paper's.

    Raises:
        ValueError: a size is out of its bounds, or encoder and decoder do not agree on the frame's size.
    """

    kappa_z: int = width(30)
    kappa_s: int = width(40)
    kappa_d: int = width(50)
    rnn_layers: int = layers(3)
    rnn_dim: int = width(512)
    combiner_dim: int = width(512)
    transition_dim: int = width(64)
    encoder_channels: tuple[int, ...] = width((32, 32, 64, 64, 256))
    identity_dim: int = width(128)
    decoder_channels: tuple[int, ...] = width((512, 256, 128, 64))
    single_decoder: bool = False
    mixture_dim: int = width(0, least=0)
    first_pose_from_d: bool = False
    transition_memory: int = width(0, least=0)
    motions: int = width(0, least=0, most=16)
    anonymous_dynamics: bool = False
    identity_encoder: bool = False

    def __post_init__(self) -> None:
        check_widths(self)
        encoded, decoded = 4 * 2 ** (len(self.encoder_channels) - 1), self.frame_size
        if encoded != decoded:
            raise ValueError(
                f"encoder_channels {self.encoder_channels} take frames of {encoded}x{encoded}, but decoder_channels "
                f"{self.decoder_channels} draw {decoded}x{decoded}; give the encoder one entry more than the decoder"
            )

    @property
    def frame_size(self) -> int:
        """Height and width of the frames, in pixels."""
        return 4 * 2 ** len(self.decoder_channels)

"""The sizes of GLASS's two halves, and the switches of its ablations.  [GLASS Figs. 9 and 10, Table 3]"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args

from vdsm_glass.sizes import check_widths, layers, width

Directions = Literal["bilinear", "plain"]
QuantizerName = Literal["vq", "gumbel"]
VectorNorm = Literal["batch", "layer"]
Drawing = Literal["whole", "change"]
Look = Literal["features", "agent"]


@dataclass(frozen=True)
class GMASizes:
    """Widths of the Global Motion Analysis.  [GLASS Fig. 9]

    Args:
        mask_channels: of the mask network M: its first convolution and last blocks; the residual blocks between.
        mask_blocks: M's residual blocks at a quarter of the resolution.
        shift_channels: of the shift predictors P_f and P_b, convolution by convolution.
        shift_hidden: of their linear layers.
        inpaint_channels: of the inpainter N, level by level.

    Raises:
        ValueError: a width that is out of its bounds, or a wrong number of them.
    """

    mask_channels: tuple[int, int] = width((64, 256))
    mask_blocks: int = layers(9, least=0)
    shift_channels: tuple[int, int, int, int, int] = width((16, 32, 32, 64, 128))
    shift_hidden: tuple[int, int] = width((64, 32))
    inpaint_channels: tuple[int, int, int] = width((16, 32, 64))

    def __post_init__(self) -> None:
        check_widths(self)
        check_counts(self)


@dataclass(frozen=True)
class LMASizes:
    """Widths of the Local Motion Analysis, and its ablations.  [GLASS Fig. 10; defaults are those of W-Sprites]

    Args:
        encoder_channels: of the encoder E, level by level; the last is the width of φ and ψ.
        code_channels: of e_t = C(φ_t) and of the embeddings of Δ_F and a_t; Tennis 16.
        hidden: of the first and the last ConvLSTM and of s_t; Tennis 64.
        hidden_middle: of the ConvLSTM at half the resolution; twice `hidden` in the authors' code, Tennis 128.
        decoder_channels: of the decoder D, scale by scale.
        action_channels: of the action network A, within its residual blocks and U.
        bilinear_maps: P, how many T^i unfold ψ_{t+1}.
        bilinear_width: of ψ^i_{t+1} between them.
        vector_norm: of the vectors within T^i and U, "batch" as in the paper, or "layer": products of features are
            heavy-tailed, and with few pairs a batch their running statistics lie far from any batch's own, so that
            evaluation sees other actions than training did.
        spread_actions: batch norm without weights on U(d_t), which then cannot all shrink onto one prototype, as
            Eq. (6) has them do where the other losses are small. The paper has none.
        code_size: of a prototype c_k, which is an action a_t.
        actions: K, the number of local actions; Tennis 4, BAIR 2.
        directions: "plain" takes d_t = ψ_{t+1} - ψ_t ("Plain directions" of Table 3).
        quantizer: "gumbel" samples the action from predicted probabilities ("Gumbel" of Table 3).
        modulated: False concatenates the embeddings to the input of common convolutions ("No modulated convs").
        joint_input: both embeddings enter all blocks of the RNN ("Joint input").
        noise_channels: channels of noise beside e_t, zero in evaluation. The paper has none, the authors' code 8 on
            Tennis.
        revive_after: a prototype that no pair has chosen for so many steps is put where a pair is; 0, as in the paper,
            leaves it.
        window: side in pixels of the windows that LMA sees in place of whole frames. A window lies around the agent and
            goes along with Δ_F, see `around_agents`. 0, as in the paper, shows whole frames.
        drawing: "whole" draws all of f̂_{t+1} from s_{t+1}, as in the paper; "change" takes it from earlier foregrounds
            where it can, see `ChangeDecoder`. Needs a window.
        look: "features" are what A sees in the paper, φ̃_t and φ_{t+1}; "agent" gives it convolutions of its own, see
            `AgentLook`. Needs a window.
        recolour: in training the action network sees foregrounds whose colours are rotated at random, the same way
            within a clip: clothes then tell it nothing. The paper has none.
        outline: side of the picture of the next outline that is drawn from the action alone, see `OutlineDecoder`; 0,
            as in the paper, draws none.
        edges: draw from the action alone the edges within the next outline, too, see `outline.edges`.
        codebook_start: training steps after which the prototypes are placed, at the centres of the U(d_t) of the last
            steps; until then a_t is U(d_t) itself. 0, as in the paper, quantizes from the first step on.

    Raises:
        ValueError: a width that is out of its bounds, a wrong number of them, or an option that does not exist.
    """

    # The encoder divides the resolution by 8, the middle of the RNN by another 2.
    FRAME_MULTIPLE: ClassVar[int] = 16

    encoder_channels: tuple[int, int, int] = width((16, 32, 64))
    code_channels: int = width(8)
    hidden: int = width(32)
    hidden_middle: int = width(64)
    decoder_channels: tuple[int, int, int] = width((128, 64, 32))
    action_channels: int = width(128)
    bilinear_maps: int = layers(4)
    bilinear_width: int = width(128)
    vector_norm: VectorNorm = "batch"
    spread_actions: bool = False
    code_size: int = width(16)
    actions: int = width(6, least=2)
    directions: Directions = "bilinear"
    quantizer: QuantizerName = "vq"
    modulated: bool = True
    joint_input: bool = False
    noise_channels: int = width(0, least=0)
    revive_after: int = width(0, least=0, most=1 << 40)
    drawing: Drawing = "whole"
    look: Look = "features"
    recolour: bool = False
    outline: int = width(0, least=0)
    edges: bool = False
    codebook_start: int = width(0, least=0, most=1 << 40)
    window: int = width(0, least=0)

    def __post_init__(self) -> None:
        check_widths(self)
        check_counts(self)
        check_option("directions", self.directions, get_args(Directions))
        check_option("vector_norm", self.vector_norm, get_args(VectorNorm))
        check_option("drawing", self.drawing, get_args(Drawing))
        check_option("look", self.look, get_args(Look))
        check_option("quantizer", self.quantizer, get_args(QuantizerName))
        if self.window % self.FRAME_MULTIPLE:
            raise ValueError(f"window is {self.window}, expected a multiple of {self.FRAME_MULTIPLE}, or 0 for none")
        for option, chosen in (("drawing", self.drawing == "change"), ("look", self.look == "agent")):
            if chosen and not self.window:
                raise ValueError(f"{option} is {getattr(self, option)!r}, which needs a window around the agent")

        if self.edges and not self.outline:
            raise ValueError("edges is true, which needs an outline around them: set outline, too")

    @property
    def features(self) -> int:
        """Channels of φ, and the width of ψ."""
        return self.encoder_channels[-1]


def check_counts(sizes: GMASizes | LMASizes) -> None:
    """Raises: ValueError, a tuple has another number of widths than its network has levels."""
    for field in fields(sizes):
        value = getattr(sizes, field.name)
        if isinstance(field.default, tuple) and len(value) != len(field.default):
            raise ValueError(
                f"{field.name} is {value!r}: {len(value)} widths, expected {len(field.default)}, as in {field.default}"
            )


def check_option(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises: ValueError, `value` is none of `known`."""
    if value not in known:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}")

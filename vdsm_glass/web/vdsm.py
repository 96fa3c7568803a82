"""VDSM in the browser: d unfolded into poses, and a pose with an identity as a frame.  [VDSM section 5]"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from vdsm_glass.generate.vdsm import Net, VDSMFramesModel
from vdsm_glass.generate.vocabulary import LONG
from vdsm_glass.layers.mixture_conv import MixtureConvTranspose2d
from vdsm_glass.play.clips import Data
from vdsm_glass.play.media import strip
from vdsm_glass.play.session_vdsm import Board
from vdsm_glass.vdsm.frames import FrameVDSM
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.web.page import Graph, WebPage

SHARES = 21
"""Places of a slider."""
UNUSED = 1e-4
"""An expert whose share s̃_k never exceeds this, wherever the slider stands, is left out of the file."""
UNFOLDED = ("h", "hidden", "cell")


class Kept(nn.Module):
    """A layer of the mixture decoder with some of its experts alone, their weights in half precision.

    Half precision changes a weight by at most 2⁻¹¹ of itself; what it does to pictures is in docs/measured.md.
    """

    kept: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: MixtureConvTranspose2d, kept: Tensor) -> None:
        super().__init__()
        self.stride, self.padding = layer.stride, layer.padding
        # As a convolution of one sequence takes them: (experts, in, out, kh, kw).
        self.register_buffer("weight", layer.weight[kept].permute(0, 4, 3, 1, 2).half().contiguous())
        self.register_buffer("bias", layer.bias[kept])
        self.register_buffer("kept", kept)

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """Args: x (1, t, in, h, w); mixture s̃ (1, k).   Returns: (1, t, out, h', w')."""
        share = mixture[:, self.kept]
        weight = (share @ self.weight.float().flatten(start_dim=1)).unflatten(1, self.weight.shape[1:])[0]
        return nn.functional.conv_transpose2d(
            x[0], weight, bias=(share @ self.bias)[0], stride=self.stride, padding=self.padding
        )[None]


class Decode(nn.Module):
    """E[x | z, s], one frame, with the experts that these identities use.

    Args: identities (n, s), between any two of which s may lie.
    """

    def __init__(self, frames: FrameVDSM, identities: Tensor) -> None:
        super().__init__()
        self.frames = copy.deepcopy(frames)
        kept = used(frames, identities)
        layers = self.frames.decoder.layers
        for depth, layer in enumerate(layers):
            assert isinstance(layer, MixtureConvTranspose2d)
            layers[depth] = Kept(layer, torch.zeros(1, dtype=torch.long) if self.frames.decoder.single else kept)

    def forward(self, z: Tensor, s: Tensor) -> Tensor:
        """Args: z (1, z); s (1, s).   Returns: (1, 3, h, w) in [0, 1]."""
        return self.frames.decode(z[None], s)[0]


@torch.no_grad()
def used(frames: FrameVDSM, identities: Tensor) -> Tensor:
    """The experts whose s̃ exceeds `UNUSED` somewhere between two of the identities (n, s)."""
    share = torch.linspace(0, 1, SHARES)[:, None, None, None]
    between = torch.lerp(identities[:, None], identities[None], share)
    return (frames.mixture(between) > UNUSED).flatten(0, -2).any(dim=0).nonzero()[:, 0]


class Unfold(nn.Module):
    """What d unfolds from, see `vdsm_glass.vdsm.densities.DynamicsDecoder.begin`."""

    def __init__(self, net: SequenceVDSM) -> None:
        super().__init__()
        self.decoder = net.dynamics_decoder

    def forward(self, d: Tensor) -> tuple[Tensor, ...]:
        """Args: d (1, d).   Returns: h (1, 1, 2 z), hidden and cell, each (layers, 1, rnn)."""
        return self.decoder.begin(d)


class Pose(nn.Module):
    """The next pose that d unfolds into: one step of `SequenceVDSM.follow`."""

    def __init__(self, net: SequenceVDSM) -> None:
        super().__init__()
        self.net = net

    def forward(self, d: Tensor, z: Tensor, h: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        """Args: d (1, d); z (1, z) the pose before; h, hidden, cell, as from `Unfold`.   Returns: the next four."""
        h, hidden, cell = self.net.dynamics_decoder.step(h, hidden, cell)
        return self.net.combiner(z, self.net.combiner.drive(h, d)[:, 0]).loc, h, hidden, cell


def graphs(net: Net, board: Board) -> dict[str, Graph]:
    """The graphs of either stage."""
    frames = net.frames if isinstance(net, SequenceVDSM) else net
    z, s = board.what.z[:1, 0], board.who.s[:1]
    made = {"decode": Graph(Decode(frames, board.who.s), {"z": z, "s": s}, ("frame",))}
    if isinstance(net, SequenceVDSM) and board.what.d is not None:
        d = board.what.d[:1]
        given = {"d": d, "z": net.z_0(1), **dict(zip(UNFOLDED, net.dynamics_decoder.begin(d), strict=True))}
        made["unfold"] = Graph(Unfold(net), {"d": d}, UNFOLDED)
        made["pose"] = Graph(Pose(net), given, ("next_z", *(f"next_{name}" for name in UNFOLDED)))
    return made


def page(model: VDSMFramesModel, data: Data | None) -> WebPage:
    """The page of a VDSM with these clips, or with those of the test split.  Raises: as `clips_to_play`."""
    board, rows, columns = Board.of(model, data)
    net: Any = model.network
    tensors = {"s": board.who.s, "z": board.what.z}
    if board.what.d is not None:
        tensors |= {"d": board.what.d, "z_0": net.z_0(1)}
    return WebPage(
        script="vdsm.js",
        graphs=graphs(net, board),
        tensors=tensors,
        settings={
            "rows": rows,
            "columns": columns,
            "frames": board.frames,
            "longest": board.longest,
            "long": LONG,
            "side": net.sizes.frame_size,
        },
        pictures={f"cells/{i}-{j}.png": strip(cell) for i, row in enumerate(board.cells) for j, cell in enumerate(row)},
    )

"""A GLASS small enough for tests, and foregrounds for its Local Motion Analysis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vdsm_glass.glass.gma import GMA
from vdsm_glass.glass.lma import LMA
from vdsm_glass.glass.net import GLASS
from vdsm_glass.glass.sizes import GMASizes, LMASizes
from vdsm_glass.layers.shift import shift, to_grid

NARROW = GMASizes(
    mask_channels=(4, 8),
    mask_blocks=1,
    shift_channels=(4, 4, 4, 4, 8),
    shift_hidden=(8, 4),
    inpaint_channels=(4, 4, 8),
)
WIDTHS: dict[str, Any] = {
    "encoder_channels": (4, 6, 8),
    "code_channels": 4,
    "hidden": 6,
    "hidden_middle": 8,
    "decoder_channels": (8, 6, 4),
    "action_channels": 8,
    "bilinear_width": 8,
    "code_size": 4,
    "actions": 3,
}


def small_sizes(**changes: Any) -> LMASizes:
    """LMASizes with few channels."""
    return LMASizes(**(WIDTHS | changes))


def small_lma(*, checkpoint: bool = False, **changes: Any) -> LMA:
    """An LMA in training mode whose pictures depend visibly on all that goes in, also in evaluation.

    With the statistics that batch norms start with, each layer would shrink what passes it to less than rounding.
    """
    torch.manual_seed(0)
    lma = LMA(small_sizes(**changes), checkpoint=checkpoint)
    norms = [module for module in lma.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = 0.5
    for name, parameter in lma.named_parameters():
        if name.endswith(("first_h", "first_c")):
            nn.init.normal_(parameter)
    with torch.no_grad():
        for _ in range(4):
            f, f_shifted, delta_F = clip(b=4)
            lma(f, f_shifted, delta_F, T_f=3, m=torch.ones_like(f[:, :, :1]))
    for norm in norms:
        norm.momentum = 0.1
    return lma


def small_glass(*, theta: float, **changes: Any) -> GLASS:
    """Both analyses, small, in evaluation mode; see `small_lma`."""
    torch.manual_seed(0)
    net = GLASS(gma=NARROW, lma=small_sizes(**changes), theta=theta)
    net.lma = small_lma(**changes)
    return net.eval()


def finding(gma: GMA, *, foreground: tuple[float, float], background: tuple[float, float]) -> None:
    """Makes both predictors find these shifts, in pixels of frames of 32x48, whatever they see."""
    for predictor, pixels in ((gma.P_f, foreground), (gma.P_b, background)):
        nn.init.zeros_(predictor.head.weight)
        predictor.head.bias.data.copy_(to_grid(torch.tensor(pixels), height=32, width=48))


@torch.no_grad()
def written_out(net: GLASS, video: Tensor) -> Tensor:
    """U(d_t) (b t-1, code_size) of E(f_t∘Δ_F) and E(f_{t+1}), of a video in [0, 1] and whole frames."""
    layers, motion = net.gma(2 * video - 1)
    before, after = (part.flatten(0, 1) for part in (layers.f[:, :-1], layers.f[:, 1:]))
    moved = shift(before, motion.delta_F.flatten(0, 1), padding="zeros")
    return net.lma.A(net.lma.E(moved).attended, net.lma.E(after).attended)


def clip(*, b: int = 2, t: int = 6, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Foregrounds (b, t, 3, 32, 48), those shifted (b, t-1, 3, 32, 48), and shifts (b, t-1, 2) in grid units."""
    generator = torch.Generator().manual_seed(seed)
    f = torch.rand(b, t, 3, 32, 48, generator=generator) * 2 - 1
    delta_F = 0.2 * torch.randn(b, t - 1, 2, generator=generator)
    f_shifted = shift(f[:, :-1].flatten(0, 1), delta_F.flatten(0, 1), padding="zeros").unflatten(0, (b, t - 1))
    return f, f_shifted, delta_F

"""The decoder D: a foreground at three scales and its mask.  [GLASS section 3.2, Fig. 10]"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.layers.blocks import doublings


class Drawn(NamedTuple):
    """`frames` f̂ (n, 3, h_s, w_s) in [-1, 1], from a quarter of the resolution to all of it; `mask` m̂ (n, 1, h, w)."""

    frames: tuple[Tensor, Tensor, Tensor]
    mask: Tensor


class Decoder(nn.Module):
    """f̂_{t+1} = D_f(s_{t+1}), m̂_{t+1} = D_m(s_{t+1}).  [GLASS section 3.2]

    The size is doubled three times; after each a convolution (3x3, 3x3 and 7x7) and tanh give a frame. The last one has
    a fourth channel, which is the mask, scaled from [-1, 1] to [0, 1].
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        coarse, middle, fine = sizes.decoder_channels
        self.ups = doublings(sizes.hidden, sizes.decoder_channels)
        self.heads = nn.ModuleList(
            [head(coarse, 3, kernel_size=3), head(middle, 3, kernel_size=3), head(fine, 4, kernel_size=7)]
        )

    def forward(self, s: Tensor, sources: Tensor | None = None) -> Drawn:  # noqa: ARG002
        """Args: s (n, hidden, h / 8, w / 8); sources, see `ChangeDecoder`, are not looked at.

        Returns: frames and mask, float32 under autocast too.
        """
        pictures = []
        for up, to_picture in zip(self.ups, self.heads, strict=True):
            s = up(s)
            # Near 1, neighbouring values are 1/256 apart in bfloat16.
            pictures.append(torch.tanh(to_picture(s).float()))
        coarse, middle, fine = pictures
        return Drawn(frames=(coarse, middle, fine[:, :3]), mask=(fine[:, 3:] + 1) / 2)


SOURCES = 2
"""What `ChangeDecoder` may copy from: the foreground before, and the first one."""
LAYERS = 4
"""Channels of a source: a foreground and its mask."""


class ChangeDecoder(nn.Module):
    """f̂_{t+1} = Σ_i g_i f_i[p + v_i] + g_new D(s_{t+1}), the shares g a softmax per pixel; the mask m̂_{t+1} alike.

    Not in the paper, whose D draws all. The sources f_i are the foreground before and the first one, both as the window
    around the agent shows them, so that the agent's shift is done. v_i is a flow: every pixel says where it comes from.
    [Zhou et al. 2016, View Synthesis by Appearance Flow, arXiv 1605.03557]  Colours then need not pass through s or
    through the action; what is left to them is how the agent changes. The first foreground does not fade in long
    rollouts. The sources stand beside the input of every scale, too, so that limbs can be taken up where they are. Each
    scale corrects drawing, shares and flows of the one below, so that long flows are found where they are short.

    Args: sizes: widths.
    """

    def __init__(self, sizes: LMASizes) -> None:
        super().__init__()
        coarse, middle, fine = sizes.decoder_channels
        beside = SOURCES * LAYERS
        self.ups = doublings(sizes.hidden, sizes.decoder_channels, beside=beside)
        # A drawing, its mask, the logits of the shares, and the flows.
        outputs = LAYERS + SOURCES + 1 + 2 * SOURCES
        self.heads = nn.ModuleList(
            [
                head(coarse, outputs, kernel_size=3),
                head(middle, outputs, kernel_size=3),
                head(fine + beside, outputs, kernel_size=3),
            ]
        )
        for to_picture in self.heads:
            with torch.no_grad():
                to_picture.weight[-2 * SOURCES :].zero_()  # pyright: ignore[reportIndexIssue, reportCallIssue]
                to_picture.bias[-2 * SOURCES :].zero_()  # pyright: ignore[reportIndexIssue, reportCallIssue]

    def forward(self, s: Tensor, sources: Tensor) -> Drawn:
        """Args: s (n, hidden, h / 8, w / 8); sources (n, 2, 4, h, w), foregrounds in [-1, 1] and their masks.

        Returns: frames and mask, float32 under autocast too.
        """
        beside = rearrange(sources, "n i c h w -> n (i c) h w")
        pictures, below = [], None
        for up, to_picture in zip(self.ups, self.heads, strict=True):
            s = up(torch.cat([s, sized(beside, like=s).to(s.dtype)], dim=1))
            there = sized(beside, like=s)
            last = to_picture is self.heads[-1]
            drawn = to_picture(torch.cat([s, there.to(s.dtype)], dim=1) if last else s).float()
            if below is not None:
                drawn = drawn + F.interpolate(below, scale_factor=2, mode="bilinear", align_corners=False)
            below = drawn
            pictures.append(blended(drawn, rearrange(there, "n (i c) h w -> n i c h w", c=LAYERS)))
        return Drawn(frames=tuple(picture[:, :3] for picture in pictures), mask=pictures[-1][:, 3:])  # pyright: ignore[reportArgumentType]


def blended(drawn: Tensor, sources: Tensor) -> Tensor:
    """Σ_i g_i source_i[p + v_i] + g_new drawing.

    Args: drawn (n, 11, h, w), a drawing, the logits of g, and v in grid units; sources (n, 2, 4, h, w).
    Returns: (n, 4, h, w).
    """
    colours, mask, logits, flows = drawn.split([3, 1, SOURCES + 1, 2 * SOURCES], dim=1)
    new = torch.cat([torch.tanh(colours), (torch.tanh(mask) + 1) / 2], dim=1)
    n, _, _, h, w = sources.shape
    unmoved = torch.eye(2, 3, device=drawn.device).expand(n * SOURCES, 2, 3)
    grid = F.affine_grid(unmoved, size=[n * SOURCES, 1, h, w], align_corners=False)
    grid = grid + rearrange(flows, "n (i xy) h w -> (n i) h w xy", xy=2)
    flat = rearrange(sources, "n i c h w -> (n i) c h w")
    taken = F.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    shares = logits.softmax(dim=1)[:, :, None]
    layers = torch.cat([rearrange(taken, "(n i) c h w -> n i c h w", n=n), new[:, None]], dim=1)
    return reduce(shares * layers, "n i c h w -> n c h w", "sum")


def sized(pictures: Tensor, *, like: Tensor) -> Tensor:
    """Pictures (n, c, h, w), averaged down to the height and width of `like`."""
    if pictures.shape[-2:] == like.shape[-2:]:
        return pictures
    return F.adaptive_avg_pool2d(pictures, output_size=(like.shape[-2], like.shape[-1]))


def make_decoder(sizes: LMASizes) -> Decoder | ChangeDecoder:
    """The decoder that `sizes.drawing` names."""
    return Decoder(sizes) if sizes.drawing == "whole" else ChangeDecoder(sizes)


def head(c_in: int, c_out: int, *, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(in_channels=c_in, out_channels=c_out, kernel_size=kernel_size, padding=kernel_size // 2)

"""What a GLASS has learned of some clips: numbers, pictures, and alarms where it has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from einops import rearrange
from torch import Tensor

from vdsm_glass.generate.glass import SHIFTS, GLASSModel, hold
from vdsm_glass.glass.animation import animate, inferred
from vdsm_glass.glass.difference import Ground
from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.glass.window import middles
from vdsm_glass.layers.shift import to_pixels
from vdsm_glass.pictures import grid
from vdsm_glass.training import psnr

LEAST_MOVE = 0.3
"""Pixels by which the agent's way from frame to frame varies at least, for shifts that do not vary to be an alarm."""
LEAST_CHANGE = 1.0
"""Levels of 255 by which an agent that is drawn with different codes differs at least."""


@dataclass(frozen=True)
class Examined:
    """What was found.

    Args:
        numbers: by name, see `MEANINGS`.
        pictures: by title, (3, h, w) in [0, 1].
    """

    numbers: dict[str, float]
    pictures: dict[str, Tensor]


MEANINGS = {
    "mask_mean": "share of the frame under the mask",
    "mask_max": "largest value of the mask, a mean over frames",
    "motion_inside": "share of the motion (squared difference of neighbouring frames) inside the mask",
    "shift_spread": "spread of the agent's shifts, px",
    "difference_spread": "spread of the way of what differs from the ground, px",
    "background_shift": "mean shift of the ground, px",
    "psnr": "PSNR of frames rebuilt from the first one, dB",
    "still_psnr": "PSNR of the first frame left as it is, dB",
    "arrow_asked": "an arrow key asks for, px",
    "arrow_moved": "the agent moves that way, found again by the mask, px, mean over four keys",
    "arrow_right": "share of arrow keys that move it by half to one and a half of what was asked",
    "actions_differ": "how far the drawn agent differs between two local actions, of 255 levels",
}


@torch.no_grad()
def examine(model: GLASSModel, video: Tensor, ground: Ground | None = None) -> Examined:
    """Examines a network by clips (b, t, 3, h, w) in [0, 1], t at least 2, in evaluation mode."""
    net = model.network
    height, width = video.shape[-2:]
    layers, motion = net.gma(2 * video - 1)
    seen = net.seen_by_lma(Foregrounds.of(layers, motion))
    found = inferred(layers, motion, net.lma.actions(seen.f, seen.f_moved, seen.m))
    rebuilt = animate(net, video[:, 0], found.actions).video
    pixels = width / 24
    moved = hold(net, video[:, 0], torch.zeros(4, dtype=torch.int64), pixels * _arrows(video), steps=1)
    drawn = hold(net, video[:, 0], torch.arange(model.k), torch.zeros(model.k, 2), steps=2)
    numbers = {
        "mask_mean": float(layers.m.mean()),
        "mask_max": float(layers.m.amax(dim=(2, 3, 4)).mean()),
        "motion_inside": motion_inside(video, layers.m),
        "shift_spread": spread(found.actions.foreground_shift),
        "background_shift": float(found.actions.background_shift.abs().mean()),
        "psnr": psnr_after_first(rebuilt, video),
        "still_psnr": psnr_after_first(video[:, :1].expand_as(video), video),
        **arrows(net.gma.M, moved.video, pixels),
        "actions_differ": actions_differ(drawn.video[:, :, -1], drawn.mask[:, :, -1]),
    }
    if ground is not None:
        differing = ground.seen_in(2 * video - 1, torch.zeros(len(video), dtype=torch.int64))
        both = (differing.known[:, 1:] * differing.known[:, :-1]).bool()
        numbers["difference_spread"] = spread(to_pixels(differing.shift, height=height, width=width)[both])
    chosen = torch.linspace(0, video.shape[1] - 1, min(6, video.shape[1])).round().long()
    rows = [video, layers.m.expand_as(video), (layers.f + 1) / 2, (layers.b_hat + 1) / 2, rebuilt]
    shown = torch.stack([each[:, chosen] for each in rows], dim=1)
    return Examined(
        numbers,
        {
            "Frame, mask, agent, ground, and the clip rebuilt from its first frame": grid(
                rearrange(shown, "b row t c h w -> (b row) t c h w")
            ),
            "The first frame, and each local action held for two frames": grid(
                torch.cat([video[:, :1], drawn.video[:, :, -1]], dim=1)
            ),
            "The first frame, and the arrow keys right, left, down, up": grid(
                torch.cat([video[:, :1], moved.video[:, :, -1]], dim=1)
            ),
        },
    )


def alarms(
    numbers: Mapping[str, float],
    *,
    theta: float,
    masks: bool,
    codes: bool,
    drawing: bool,
    perplexity: float | None = None,
) -> dict[str, str]:
    """What is wrong, by a name for it.

    Args: numbers, of `examine`; theta, the share of the frame that masks should cover; masks, codes, drawing, whether
    masks and shifts, local actions, and drawing by them have been trained for a while; perplexity, of the codebook.
    """
    found = {}
    if masks and (numbers["mask_mean"] < theta / 10 or numbers["mask_max"] < 0.3):
        found["empty mask"] = f"the mask is empty (mean {numbers['mask_mean']:.2g}, largest {numbers['mask_max']:.2f})"
    if masks and numbers["mask_mean"] > min(0.8, 4 * theta + 0.1):
        found["full mask"] = f"the mask covers {numbers['mask_mean']:.0%} of the frame, the agent {theta:.1%}"
    really = numbers.get("difference_spread", 0.0)
    if masks and really > LEAST_MOVE and numbers["shift_spread"] < really / 5:
        found["shifts alike"] = (
            f"all shifts are alike (spread {numbers['shift_spread']:.2f} px; what differs from the ground moves with a "
            f"spread of {really:.2f} px)"
        )
    if codes and perplexity is not None and perplexity < 1.2:
        found["one code"] = f"all frames have the same local action (perplexity {perplexity:.2f})"
    if drawing and numbers["actions_differ"] < LEAST_CHANGE:
        found["codes say nothing"] = (
            f"local actions do not change the drawing ({numbers['actions_differ']:.2f} of 255 levels)"
        )
    return found


def motion_inside(video: Tensor, m: Tensor) -> float:
    """Σ (I_{t+1} - I_t)² where either mask is above 0.5, over Σ of all.  Args: (b, t, 3, h, w), (b, t, 1, h, w)."""
    energy = (video[:, 1:] - video[:, :-1]).square().sum(dim=2, keepdim=True)
    inside = torch.maximum(m[:, 1:], m[:, :-1]) > 0.5
    return float((energy * inside).sum() / energy.sum().clamp(min=1e-12))


def spread(shifts: Tensor) -> float:
    """√(E‖Δ - E Δ‖²) of shifts (..., 2)."""
    flat = shifts.reshape(-1, 2)
    return float((flat - flat.mean(dim=0)).square().sum(dim=1).mean().sqrt()) if len(flat) else 0.0


def psnr_after_first(drawn: Tensor, real: Tensor) -> float:
    """In dB, the mean over clips, the first frame left out, which is given."""
    return float(psnr(drawn[:, 1:], real[:, 1:]))


def arrows(M: torch.nn.Module, video: Tensor, pixels: float) -> dict[str, float]:
    """How far agents went that were told to go `pixels`, by where M finds them before and after.

    Args: video (b, 4, 2, 3, h, w), before and after each of four arrow keys.
    """
    way = _arrows(video)
    flat = rearrange(video, "b k t c h w -> (b k t) c h w")
    m = M(2 * flat - 1)
    at = rearrange(middles(m * (m > 0.5)), "(b k t) xy -> b k t xy", k=4, t=2)
    went = ((at[:, :, 1] - at[:, :, 0]) * way).sum(dim=-1)
    return {
        "arrow_asked": pixels,
        "arrow_moved": float(went.mean()),
        "arrow_right": float(((went - pixels).abs() <= pixels / 2).float().mean()),
    }


def actions_differ(video: Tensor, mask: Tensor) -> float:
    """E|a - b| · 255 where either mask is above 0.5, over pairs of actions.  Args: (b, k, 3, h, w), (b, k, 1, h, w)."""
    levels = []
    for i, j in combinations(range(video.shape[1]), 2):
        either = (torch.maximum(mask[:, i], mask[:, j]) > 0.5).expand_as(video[:, i])
        levels.append(255 * ((video[:, i] - video[:, j]).abs() * either).sum() / either.sum().clamp(min=1))
    return float(torch.stack(levels).mean())


def _arrows(like: Tensor) -> Tensor:
    """(4, 2), the directions of the arrow keys."""
    return like.new_tensor([way for name, way in SHIFTS.items() if any(way)])

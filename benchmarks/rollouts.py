"""How long VDSM keeps a swing: rollouts of pendula, far past the clip that is seen, against the simulation.

    python -m benchmarks.rollouts CHECKPOINT...

From the first frames of test clips d and s are inferred; d unfolds into 60 frames, once by the guide and once by the
transition from the first pose. In every picture the bob is found as the middle of what differs from the background far
from the pivot; on the simulation's own frames that is right within a thousandth of a radian. The error of the phase is
the lag at which the last frames fit the simulation best, in periods: 0.25 on average for a pendulum that keeps no time.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from einops import rearrange
from rich.progress import track
from scipy.special import ellipk
from torch import Tensor

from benchmarks import common
from data_modules.pendulum import BACKGROUND, COLOURS, PIVOT_Y, Pendulum, draw, simulate
from vdsm_glass import load

SEEN, STEPS, WINDOW = 16, 60, 16
"""Frames from which d is inferred, frames of a rollout, and the last of them, of which the phase is taken."""
A_PAIR = 12
"""Clips of each pair of colour and swing that no training clip shows."""
Dynamics = Literal["posterior", "prior"]


def pendula(data: Pendulum, seed: int = 5) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """New test clips (n, STEPS, 3, h, w) in [0, 1], their angles in radians (n, more steps), their periods (n,)."""
    generator, videos, angles, periods = np.random.default_rng(seed), [], [], []
    for identity, action in data.pairs("test"):
        period, amplitude = data.swing(action)
        for _ in range(A_PAIR):
            phase = generator.random()
            angles.append(
                simulate(period=period, amplitude=amplitude, phase=phase, damping=data.damping, frames=STEPS + 40)
            )
            colour = COLOURS[list(COLOURS)[identity]]
            videos.append(draw(angles[-1][:STEPS], colour=colour, height=data.height, width=data.width)[0])
            periods.append(period * 2 / math.pi * ellipk(math.sin(amplitude / 2) ** 2))
    video = rearrange(torch.from_numpy(np.stack(videos)), "n t h w c -> n t c h w").float() / 255
    return video, np.stack(angles), np.array(periods)


def angle(video: Tensor) -> np.ndarray:
    """The angle of the bob in every frame, radians.  Args: video (n, t, 3, h, w) in [0, 1].   Returns: (n, t)."""
    height, width = video.shape[-2:]
    side = min(height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x - (width - 1) / 2, y - (height - 1) / 2 - PIVOT_Y * side
    differs = (video - torch.tensor(BACKGROUND)[:, None, None] / 255).abs().sum(dim=2)
    differs = (differs - 0.35 * differs.amax(dim=(-1, -2), keepdim=True)).clamp(min=0) * (x.hypot(y) > 0.22 * side)
    return torch.atan2((differs * x).sum(dim=(-1, -2)), (differs * y).sum(dim=(-1, -2))).numpy()


def phase_error(found: np.ndarray, true: np.ndarray, period: float) -> float:
    """In periods, from 0 to 0.5.  Args: found (STEPS,), true (more steps,) angles of one clip."""
    at, last = np.arange(STEPS - WINDOW, STEPS), found[-WINDOW:]
    lags = np.arange(-period / 2, period / 2, 0.25)
    errors = [((np.interp(at + lag, np.arange(len(true)), true) - last) ** 2).mean() for lag in lags]
    return float(abs(lags[np.argmin(errors)]) / period)


@torch.no_grad()
def row(
    checkpoint: Path, dynamics: Dynamics, video: Tensor, true: np.ndarray, periods: np.ndarray
) -> dict[str, object]:
    """What one way of unfolding gives."""
    network = load(checkpoint).network
    parts = []
    for clips in video.split(48):
        seen = clips[:, :SEEN]
        z = network.rollout(network.dynamics(seen), steps=STEPS, dynamics=dynamics)
        parts.append(network.decode(z, network.frames.encode(seen).s))
    drawn = torch.cat(parts)
    found = angle(drawn)
    errors = [phase_error(*each) for each in zip(found, true, periods, strict=True)]
    swing = found[:, -WINDOW:].std(axis=1) / true[:, STEPS - WINDOW : STEPS].std(axis=1)
    psnr = -10 * ((drawn - video) ** 2).mean(dim=(0, 2, 3, 4)).log10()
    return {
        "checkpoint": str(checkpoint),
        "dynamics": dynamics,
        "phase_error_median": round(float(np.median(errors)), 3),
        "under_a_quarter": round(float(np.mean(np.less(errors, 0.25))), 3),
        "swing_of_the_true_one": round(float(np.median(swing)), 2),
        "psnr_seen": round(float(psnr[SEEN - 1]), 1),
        "psnr_last": round(float(psnr[-1]), 1),
    }


def main(checkpoints: list[Path]) -> None:
    """Measures and prints."""
    size = load(checkpoints[0]).network.sizes.frame_size
    video, true, periods = pendula(Pendulum(size=size))
    ways = [(checkpoint, dynamics) for checkpoint in checkpoints for dynamics in get_args(Dynamics)]
    rows = [row(*way, video, true, periods) for way in track(ways)]
    common.show(rows, title=f"{len(video)} pendula, {STEPS} frames from {SEEN}")
    settings = {"clips": len(video), "steps": STEPS, "seen": SEEN}
    common.write_results(
        common.RESULTS / "rollouts-pendulum.json", device=torch.device("cpu"), settings=settings, results=rows
    )


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])

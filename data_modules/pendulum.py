"""Simulated damped pendula: the colour is the identity, the swing is the action."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from einops import rearrange
from scipy.integrate import solve_ivp
from scipy.special import ellipk

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.store.clip_source import Clip, Labels
from data_modules.store.format import SPLITS, Split

COLOURS = {
    "red": (225, 45, 45),
    "yellow": (250, 215, 50),
    "green": (50, 175, 70),
    "blue": (50, 95, 230),
    "pink": (250, 140, 205),
    "orange": (245, 130, 25),
    "cyan": (60, 215, 225),
    "white": (245, 245, 245),
    "purple": (140, 60, 205),
    "brown": (140, 90, 50),
    "lime": (180, 245, 90),
    "grey": (140, 145, 150),
}
BACKGROUND = (38, 42, 54)
ROD = 0.5
"""The rod's colour, from the background's (0) to the bob's (1)."""

# In parts of the frame's shorter side, from the frame's middle.
PIVOT_Y, LENGTH, BOB_RADIUS, ROD_RADIUS = -0.2, 0.37, 0.125, 0.025


class Pendulum(VideoDataModule):
    """Simulated pendula, drawn anti-aliased; nothing to download.

    Identity is the colour, action the swing: a period and an amplitude. Every clip starts elsewhere in its swing. Test
    clips show pairs of colour and swing that are in no training or validation clip.

    Args:
        colours: identities, 2 to 12.
        swings: actions, at least 2.
        sequences_per_pair: training and test clips of each of their pairs; validation has a quarter as many.
        frames: of a stored clip; many, so that rollouts can be compared with it.
        damping: rate in 1/frame at which the angular velocity decays.
        simulation_seed: of the clips and of which pairs are held out; `seed` is that of the training order.
    """

    name = "pendulum"
    rights = "Damped pendula, which vdsm-glass simulates; no one else has rights in them."

    def __init__(
        self,
        *,
        colours: int = 8,
        swings: int = 4,
        sequences_per_pair: int = 12,
        frames: int = 76,
        damping: float = 0.005,
        simulation_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 2 <= colours <= len(COLOURS) or swings < 2:
            raise UserError(
                f"pendulum: {colours} colours and {swings} swings; expected 2 to {len(COLOURS)} colours and at least 2 "
                "swings, so that pairs of them can be kept for the test."
            )
        self.colours = colours
        self.swings = swings
        self.sequences_per_pair = 1 if self.tiny else sequences_per_pair
        self.frames = frames
        self.damping = damping
        self.simulation_seed = simulation_seed
        self._check_least(1, "sequences_per_pair", "frames")
        self._check_least(0, "damping", "simulation_seed")

    def source(self) -> dict[str, Any]:
        return self._options("colours", "swings", "sequences_per_pair", "frames", "damping", "simulation_seed")

    def count(self, split: Split) -> int:
        return len(self.pairs(split)) * self._sequences(split)

    def draw_tiny(self) -> None:
        """Nothing is drawn: the tiny copy is simulated as well, with one clip of each pair."""

    def units(self, split: Split) -> list[tuple[Split, int, int]]:
        return [(split, *pair) for pair in self.pairs(split)]

    def read_unit(self, unit: tuple[Split, int, int]) -> Iterator[Clip]:
        split, identity, action = unit
        labels = self.describe_labels()
        period, amplitude = self.swing(action)
        for number in range(self._sequences(split)):
            seed = [self.simulation_seed, SPLITS.index(split), identity, action, number]
            phase = np.random.default_rng(seed).random()
            angles = simulate(period=period, amplitude=amplitude, phase=phase, damping=self.damping, frames=self.frames)
            colour = COLOURS[labels.identity[identity]]
            video, position = draw(angles, colour=colour, height=self.height, width=self.width)
            yield Clip(
                video=video,
                identity=identity,
                action=action,
                name=f"{labels.identity[identity]}, {labels.action[action]}, {number}",
                position=position,
            )

    def pairs(self, split: Split) -> list[tuple[int, int]]:
        """The (identity, action) pairs of `split`.

        Those of the test are on seeded diagonals of the table of all pairs, so that every identity and every action is
        both in training and in the test.
        """
        generator = np.random.default_rng(self.simulation_seed)
        row, column = generator.permutation(self.colours), generator.permutation(self.swings)
        held_out = np.add.outer(row, column) % min(self.colours, self.swings) == 0
        chosen = held_out if split == "test" else ~held_out
        return [(int(identity), int(action)) for identity, action in np.argwhere(chosen)]

    def swing(self, action: int) -> tuple[float, float]:
        """Period of small swings in frames, and amplitude in radians, of an action."""
        periods = np.geomspace(12, 30, num=math.ceil(self.swings / 2))
        return float(periods[action // 2]), math.radians((75, 35)[action % 2])

    def describe_labels(self) -> Labels:
        """Colours, and swings as "75° every 12 frames"."""
        swings = [self.swing(action) for action in range(self.swings)]
        return Labels(
            identity=list(COLOURS)[: self.colours],
            action=[f"{math.degrees(amplitude):.0f}° every {period:.0f} frames" for period, amplitude in swings],
        )

    def _sequences(self, split: Split) -> int:
        return max(1, self.sequences_per_pair // 4) if split == "val" else self.sequences_per_pair


def simulate(*, period: float, amplitude: float, phase: float, damping: float, frames: int) -> np.ndarray:
    """θ'' = -(2π / period)² sin θ - damping θ', released at rest at `amplitude`.

    Args:
        period: of small swings, in frames; wide swings take longer.
        amplitude: in radians.
        phase: in [0, 1), the part of the first (undamped) swing that is over at the first frame.
        damping: 1/frame.
    Returns: (frames,) angles in radians, 0 hanging down, positive to the right.
    """
    stiffness = (2 * math.pi / period) ** 2
    true_period = period * 2 / math.pi * ellipk(math.sin(amplitude / 2) ** 2)
    times = phase * true_period + np.arange(frames)
    solution = solve_ivp(
        lambda _, state: (state[1], -stiffness * math.sin(state[0]) - damping * state[1]),
        t_span=(0, times[-1]),
        y0=(amplitude, 0.0),
        t_eval=times,
        method="LSODA",
        rtol=1e-6,
        atol=1e-6,
    )
    return solution.y[0]


def draw(angles: np.ndarray, *, colour: tuple[int, int, int], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a pendulum, anti-aliased: a pixel's coverage follows from its distance to the shape's edge.

    Args: angles (t,) in radians.
    Returns: video (t, height, width, 3) uint8; centre of the bob (t, 2) float32, (x, y) in pixels.
    """
    side = min(height, width)
    pivot = np.array([(width - 1) / 2, (height - 1) / 2 + PIVOT_Y * side], np.float32)
    direction = np.stack([np.sin(angles), np.cos(angles)], axis=-1, dtype=np.float32)
    bob = pivot + LENGTH * side * direction

    y, x = (axis.astype(np.float32) for axis in np.ogrid[:height, :width])
    sin, cos, bob_x, bob_y = (rearrange(value, "t -> t 1 1") for value in (*direction.T, *bob.T))
    along = np.clip((x - pivot[0]) * sin + (y - pivot[1]) * cos, 0, LENGTH * side)
    to_rod = np.sqrt((x - pivot[0] - along * sin) ** 2 + (y - pivot[1] - along * cos) ** 2)
    to_bob = np.sqrt((x - bob_x) ** 2 + (y - bob_y) ** 2)

    bob_share = np.clip(BOB_RADIUS * side + 0.5 - to_bob, 0, 1)
    rod_share = np.clip(ROD_RADIUS * side + 0.5 - to_rod, 0, 1) * (1 - bob_share)
    shades = np.rint(np.linspace(BACKGROUND, colour, num=256)).astype(np.uint8)
    return shades.take(np.rint(255 * (bob_share + ROD * rod_share)).astype(np.uint8), axis=0), bob

"""Random walks on a grid of pixels, with inertia.  [GLASS appendix C, Eqs. (13)-(19)]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from data_modules.common.errors import UserError

MOVES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "stay": (0, 0)}
)
"""The global actions: (x, y), x to the right and y down, in steps. A walk's `moves` count them in this order."""


@dataclass(frozen=True)
class Walk:
    """The positions of something in t frames, and the moves between them.

    Args:
        moves: (t,) int64, g_i, indices into `MOVES`; g_i leads from frame i - 1 to frame i. g_0 moves nothing: g_1 may
            only repeat it.
        positions: (t, 2) int64, (x_i, y_i) in pixels.
    """

    moves: np.ndarray
    positions: np.ndarray

    @property
    def shifts(self) -> np.ndarray:
        """(t-1, 2) float32, pixels between each frame and the next."""
        return np.diff(self.positions, axis=0).astype(np.float32)


def random_walk(
    generator: np.random.Generator,
    *,
    frames: int,
    low: tuple[int, int],
    high: tuple[int, int],
    step: int,
    p_inertia: float,
) -> Walk:
    """p(g_i | g_{i-1}) and p(x_i, y_i | x_{i-1}, y_{i-1}, g_i).  [GLASS appendix C, Eqs. (13)-(19)]

    (x_0, y_0) is uniform in the box. With probability `p_inertia` the last move is repeated, otherwise a new one is
    drawn from all moves that do not leave the box, including the last. One is also drawn where the last would leave the
    box.

    Args:
        frames: of the walk, at least 1.
        low, high: corners of the box, (x, y) in pixels, both within it.
        step: s, pixels of a move.
        p_inertia: in [0, 1].
    Raises: UserError for an empty box or other arguments out of range.
    """
    if frames < 1 or step < 1 or not 0 <= p_inertia <= 1 or low[0] > high[0] or low[1] > high[1]:
        raise UserError(
            f"A walk of {frames} frames from {low} to {high}, step {step}, p_inertia {p_inertia}; expected at least one"
            " frame, a box that holds a pixel, a step of at least 1 and a probability."
        )
    steps = [(step * right, step * down) for right, down in MOVES.values()]
    x, y = generator.integers(low, high, endpoint=True).tolist()
    positions, moves = [(x, y)], []
    for _ in range(frames):
        inside = [low[0] <= x + dx <= high[0] and low[1] <= y + dy <= high[1] for dx, dy in steps]
        if moves and generator.random() < p_inertia and inside[moves[-1]]:
            move = moves[-1]
        else:
            available = [move for move, stays_inside in enumerate(inside) if stays_inside]
            move = available[generator.integers(len(available))]
        if moves:  # g_0 leads nowhere
            x, y = x + steps[move][0], y + steps[move][1]
            positions.append((x, y))
        moves.append(move)
    return Walk(moves=np.array(moves), positions=np.array(positions))

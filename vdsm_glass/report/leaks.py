"""The leak matrix as a picture."""

from __future__ import annotations

from pathlib import Path

from vdsm_glass.metrics.disentanglement import LeakMatrix
from vdsm_glass.pictures import draw_heat_map


def draw_leaks(matrix: LeakMatrix, path: Path) -> Path:
    """Draws accuracies beside chance, shaded by how far they are above it; good is bright on the diagonal alone."""
    several = f"identity,\nmean of {len(matrix.factors)} factors"
    identity = matrix.factors[0] if len(matrix.factors) == 1 else several
    return draw_heat_map(
        matrix.above_chance,
        path,
        rows=[identity, "action"],
        columns=[f"from {source}" for source in matrix.columns],
        notes=[
            [f"{value:.2f}\nchance {chance:.2f}" for value in accuracies]
            for accuracies, chance in zip(matrix.accuracy, matrix.chance, strict=True)
        ],
        meaning="above chance",
        title="what a linear probe reads",
    )

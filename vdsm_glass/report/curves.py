"""Curves of a run, read from its metrics.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from data_modules.common.errors import UserError


def read_curve(file: Path, column: str) -> tuple[list[float], list[float]]:
    """The steps and values of one column of metrics.csv, without the rows that lack a value.

    Raises: UserError, no such file, or no value in that column.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; a run with the CSV logger writes it")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [(float(row["step"]), float(row[column])) for row in csv.DictReader(lines) if row.get(column)]
    if not rows:
        raise UserError(f"{file}: no row has a value for {column!r}; see its first line for the columns there are")
    steps, values = zip(*rows, strict=True)
    return list(steps), list(values)


def draw_run(file: Path, columns: list[str], picture: Path) -> Path:
    """Draws the columns of a run's metrics.csv side by side, over the step."""
    from vdsm_glass.pictures import draw_curves

    curves, positions = {}, {}
    for column in columns:
        positions[column], curves[column] = read_curve(file, column)
    return draw_curves(curves, picture, across="step", positions=positions)

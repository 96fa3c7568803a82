"""What was measured at the end of a test: for the eye, and as `results.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from data_modules.files import write_json

RESULTS = "results.json"


def measured(trainer: Trainer) -> dict[str, float]:
    """What was logged under `test/`, by the rest of its name."""
    return {
        name.removeprefix("test/"): float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("test/")
    }


@rank_zero_only
def write_results(results: Mapping[str, float], run: Path, *, protocol: Mapping[str, int | str]) -> None:
    """Prints the numbers as a table and writes them, one process alone.

    Args: results by name; run, the folder; protocol, what they were measured on, written beside them.
    """
    from rich.console import Console
    from rich.table import Table

    said = ", ".join(f"{name} {value}" for name, value in protocol.items())
    table = Table("measure", "value", title=f"test split: {said}")
    for name, value in results.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    write_json({**protocol, **results}, run / RESULTS)

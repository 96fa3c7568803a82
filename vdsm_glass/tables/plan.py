"""From a row of a table to the runs that it needs, and the command lines that make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vdsm_glass.recipes import HOME as EXPERIMENTS
from vdsm_glass.runs import CHECKPOINTS, LATEST
from vdsm_glass.tables.published import Row, Table


@dataclass(frozen=True)
class Stage:
    """One training of a row.  Args: name, of its runs; configs, its recipe and what is laid over it; epochs."""

    name: str
    configs: tuple[str, ...]
    epochs: int | None


def stages(table: Table, row: Row, budget: str) -> list[Stage]:
    """What is trained for a row, in order.  Rows of several tables that are trained alike share their runs."""
    plan = table.budget(budget)
    epochs = plan.epochs if row.epochs == "budget" or budget != "paper" else row.epochs
    overlays = [row.overlay] if row.overlay else []
    found = []
    for recipe in plan.recipes:
        name = recipe
        # A recipe as it stands is trained under its own name, also by `make train-...`.
        if overlays or plan.overlays or epochs is not None:
            length = f"-{epochs}" if epochs is not None else ""
            variant = Path(row.overlay).name if row.overlay else "full"
            name = f"tables/{budget}/{recipe}{length}/{variant}"
        files = (recipe, *overlays, *plan.overlays)
        found.append(Stage(name, tuple(f"{EXPERIMENTS}/{file}.yaml" for file in files), epochs))
    return found


def commands(table: Table, row: Row, budget: str, *, runs: Path, options: Sequence[str] = ()) -> list[list[str]]:
    """`fit ...` of every stage and `test ...` of the last, to be run one after the other; each goes on if it was begun.

    Args: runs, the folder of all runs; options, further ones for each.
    """
    lines: list[list[str]] = []
    before: Stage | None = None
    for stage in stages(table, row, budget):
        words = [word for config in stage.configs for word in ("--config", config)]
        words += ["--run.dir", str(runs), "--run.name", stage.name]
        if stage.epochs is not None:
            words += ["--trainer.max_epochs", str(stage.epochs)]
        if before is not None:
            words += ["--model.pretrained", str(runs / before.name / LATEST / CHECKPOINTS / "last.ckpt")]
        lines.append(["fit", *words, *options, "--ckpt_path", "last"])
        before = stage
    return [*lines, ["test", *lines[-1][1:]]]

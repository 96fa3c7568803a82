"""The runs that a row of a table needs: the commands that make them, and the results that they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from vdsm_glass.metrics.results import RESULTS, Result, ResultSet
from vdsm_glass.recipes import HOME as EXPERIMENTS
from vdsm_glass.runs import CHECKPOINTS, LATEST, versions
from vdsm_glass.tables.published import BUDGETS, Row, Table


@dataclass(frozen=True)
class Stage:
    """One training of a row.  Args: name, of its runs; configs, its recipe and the overlays on it; epochs."""

    name: str
    configs: tuple[str, ...]
    epochs: int | None


@dataclass(frozen=True)
class RowResults:
    """What was measured for a row.  Args: budget, that of the training; file, of results; content, what it holds."""

    budget: str
    file: Path
    content: ResultSet = field(default_factory=ResultSet)


def stages(table: Table, row: Row, budget_name: str) -> list[Stage]:
    """The trainings of a row, in order.  Rows of several tables with the same training share their runs."""
    budget = table.budget(budget_name)
    epochs = budget.epochs if row.epochs == "budget" or budget_name != "paper" else row.epochs
    found = []
    for position, recipe in enumerate(budget.recipes, start=1):
        name = recipe
        overlays = [row.overlay] if row.overlay and row.stage in (None, position) else []
        # A stage after one with an overlay stands on other weights, whether or not it has one.
        changed = bool(row.overlay) and position >= (row.stage or 1)
        # An unchanged recipe is trained under its own name, as `make train-...` does.
        if changed or budget.overlays or epochs is not None:
            length = f"-{epochs}" if epochs is not None else ""
            variant = Path(row.overlay).name if row.overlay and changed else "full"
            name = f"tables/{budget_name}/{recipe}{length}/{variant}"
        files = (recipe, *overlays, *budget.overlays)
        found.append(Stage(name, tuple(f"{EXPERIMENTS}/{file}.yaml" for file in files), epochs))
    return found


def commands(table: Table, row: Row, budget: str, *, runs: Path, options: Sequence[str] = ()) -> list[list[str]]:
    """`chain` of a row's trainings."""
    return chain(stages(table, row, budget), runs=runs, options=options)


def chain(trainings: Sequence[Stage], *, runs: Path, options: Sequence[str] = ()) -> list[list[str]]:
    """`fit ...` of every stage, then `test ...` of the last; each `fit` resumes its run if there is one.

    Args: runs, the folder of all runs; options, further ones for each command.
    """
    lines: list[list[str]] = []
    before: Stage | None = None
    for stage in trainings:
        words = [word for config in stage.configs for word in ("--config", config)]
        words += ["--run.dir", str(runs), "--run.name", stage.name]
        if stage.epochs is not None:
            words += ["--trainer.max_epochs", str(stage.epochs)]
        if before is not None:
            words += ["--model.pretrained", str(runs / before.name / LATEST / CHECKPOINTS / "last.ckpt")]
        lines.append(["fit", *words, *options, "--ckpt_path", "last"])
        before = stage
    return [*lines, ["test", *lines[-1][1:]]]


def find_results(table: Table, row: Row, *, runs: Path, budget: str | None = None) -> RowResults | None:
    """The newest results of a row, at `budget` or by default at the best budget that has some.

    Raises: UserError, a results file is damaged.
    """
    for name in [budget] if budget else [each for each in BUDGETS if each in table.budgets]:
        if file := newest_results(runs / stages(table, row, name)[-1].name):
            return RowResults(budget=name, file=file, content=ResultSet.read(file))
    return None


def newest_results(recipe_folder: Path) -> Path | None:
    """The results file of the newest test of the newest version that has one."""
    files = (tested / RESULTS for version in versions(recipe_folder) for tested in versions(version / "test"))
    return next((file for file in files if file.is_file()), None)


def differences(table: Table, results: RowResults, number: Result) -> list[str]:
    """How a number was measured differently from the paper's, one phrase each; empty if the two can be compared."""
    said = [] if results.budget == BUDGETS[0] else [f"trained at the {results.budget} budget"]
    ours = asdict(number.protocol)
    for key, wanted in table.protocol.items():
        if ours[key] != wanted:
            said.append(f"{key} {ours[key]}, the paper's {wanted}")
    return said

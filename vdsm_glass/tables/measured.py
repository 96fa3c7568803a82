"""What our runs have reached of a table, and where that is not what the paper measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from vdsm_glass.metrics.results import RESULTS, Result, ResultSet
from vdsm_glass.runs import versions
from vdsm_glass.tables.plan import stages
from vdsm_glass.tables.published import BUDGETS, Row, Table

TEST = "test"


@dataclass(frozen=True)
class Found:
    """What was measured for a row.  Args: budget, at which; file, where it stands; book, what stands there."""

    budget: str
    file: Path
    book: ResultSet = field(default_factory=ResultSet)


def find(table: Table, row: Row, *, runs: Path, budget: str | None = None) -> Found | None:
    """The newest results of a row: those of `budget`, else of the best budget that has some.

    Raises: UserError, a results file that is damaged.
    """
    for name in [budget] if budget else [each for each in BUDGETS if each in table.budgets]:
        folder = runs / stages(table, row, name)[-1].name
        for version in versions(folder):
            for tested in versions(version / TEST):
                if (tested / RESULTS).is_file():
                    return Found(budget=name, file=tested / RESULTS, book=ResultSet.read(tested / RESULTS))
    return None


def differences(table: Table, found: Found, result: Result) -> list[str]:
    """In what a number is not the paper's, in words; empty if it may stand beside it."""
    said = [] if found.budget == BUDGETS[0] else [f"trained at the {found.budget} budget"]
    ours = asdict(result.protocol)
    for key, wanted in table.protocol.items():
        if ours[key] != wanted:
            said.append(f"{key} {ours[key]}, the paper's {wanted}")
    return said

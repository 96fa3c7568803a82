"""What our runs have reached of a table, and where that is not what the paper measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdsm_glass.runs import versions
from vdsm_glass.tables.plan import stages
from vdsm_glass.tables.published import BUDGETS, Row, Table, TableError

RESULTS = "results.json"
TEST = "test"


@dataclass(frozen=True)
class Number:
    """A measured number.  Args: protocol, what it was measured on."""

    value: float
    protocol: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What was measured for a row.  Args: budget, at which; file, where it stands; numbers, by measure."""

    budget: str
    file: Path
    numbers: dict[str, Number]


def find(table: Table, row: Row, *, runs: Path, budget: str | None = None) -> Found | None:
    """The newest results of a row: those of `budget`, else of the best budget that has some."""
    for name in [budget] if budget else [each for each in BUDGETS if each in table.budgets]:
        folder = runs / stages(table, row, name)[-1].name
        for version in versions(folder):
            for tested in versions(version / TEST):
                if (tested / RESULTS).is_file():
                    return Found(budget=name, file=tested / RESULTS, numbers=read_numbers(tested / RESULTS))
    return None


def read_numbers(file: Path) -> dict[str, Number]:
    """A run's results by measure.  Raises: TableError, a file that is damaged or not ours."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return numbers_in(content)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise TableError(f"{file}: is no results file ({error}); repeat the test that writes it") from error


def differences(table: Table, found: Found, number: Number) -> list[str]:
    """In what a number is not the paper's, in words; empty if it may stand beside it."""
    said = [] if found.budget == BUDGETS[0] else [f"trained at the {found.budget} budget"]
    for key, wanted in table.protocol.items():
        if key in number.protocol and number.protocol[key] != wanted:
            said.append(f"{key} {number.protocol[key]}, the paper's {wanted}")
    return said


PROTOCOL = ("clips", "frames", "height", "width", "generated_from")


def numbers_in(content: Mapping[str, Any]) -> dict[str, Number]:
    """The numbers of a results file, which has the protocol of all of them beside them."""
    protocol = {key: content[key] for key in PROTOCOL if key in content}
    return {key: Number(float(value), protocol) for key, value in content.items() if key not in protocol}

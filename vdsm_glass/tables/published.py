"""The papers' tables: what is printed, by whom, and which of our recipes produces it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from data_modules.common.errors import UserError, did_you_mean

HOME = Path(__file__).parent
BUDGETS = ("paper", "compact", "smoke")
"""Best first: what stands beside a published number is measured at the best there is."""
BudgetName = Literal["paper", "compact", "smoke"]


class TableError(UserError):
    """A table that is none, or a budget that it does not have."""


@dataclass(frozen=True)
class Budget:
    """How our rows are trained.

    Args:
        recipes: by their names, one a stage; the last is tested.
        overlays: laid over each of them, after the row's own.
        epochs: of each stage, if not the recipe's.
    """

    recipes: list[str]
    overlays: list[str] = field(default_factory=list)
    epochs: int | None = None


@dataclass(frozen=True)
class Column:
    """Args: measure, its name among our results; better, whether more or less of it is."""

    measure: str
    better: Literal["more", "less"]


@dataclass(frozen=True)
class Row:
    """One line.

    Args:
        published: numbers exactly as printed, by column; empty where the paper's text has none.
        overlay: the ablation, a config's name.
        epochs: in place of the budget's; "budget" leaves them.
        others: a model of other authors, which is not here.
    """

    published: dict[str, str] = field(default_factory=dict)
    overlay: str | None = None
    epochs: int | Literal["budget"] | None = "budget"
    others: bool = False


@dataclass(frozen=True)
class Table:
    """Args: protocol, what the published numbers were measured on, as far as the papers say; `about`, the rest."""

    name: str
    title: str
    source: str
    about: str
    budgets: dict[str, Budget]
    protocol: dict[str, Any]
    columns: dict[str, Column]
    rows: dict[str, Row]

    @property
    def ours(self) -> dict[str, Row]:
        """The rows that can be trained here."""
        return {name: row for name, row in self.rows.items() if not row.others}

    def budget(self, name: str) -> Budget:
        """One of its budgets.  Raises: TableError, it has none of that name."""
        if name not in self.budgets:
            raise TableError(f"table {self.name} has no {name!r} budget; it has {', '.join(self.budgets)}")
        return self.budgets[name]


def names() -> list[str]:
    """All tables."""
    return sorted(file.stem for file in HOME.glob("*.yaml"))


def read(name: str) -> Table:
    """The table of that name.  Raises: TableError, with the nearest name, there is none."""
    if name not in names():
        raise TableError(f"{name!r} is no table{did_you_mean(name, names())}; there are {', '.join(names())}")
    content = yaml.safe_load((HOME / f"{name}.yaml").read_text(encoding="utf-8"))
    content["budgets"] = {key: Budget(**value) for key, value in content["budgets"].items()}
    content["columns"] = {key: Column(**value) for key, value in content["columns"].items()}
    content["rows"] = {key: Row(**value) for key, value in content["rows"].items()}
    return Table(name=name, **content)

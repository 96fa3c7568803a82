"""The papers' tables: the printed numbers, and the recipes that reproduce them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from data_modules.common.errors import UserError, did_you_mean

HOME = Path(__file__).parent
BUDGETS = ("paper", "compact", "smoke")
"""Best first: the number shown beside a published one is that of the best budget that has results."""
BudgetName = Literal["paper", "compact", "smoke"]


class TableError(UserError):
    """There is no such table, or it has no such budget."""


@dataclass(frozen=True)
class Budget:
    """How our rows are trained.

    Args:
        recipes: the names of the stages' recipes; the model of the last is tested.
        overlays: configs merged over each recipe, after the row's own.
        epochs: of each stage; None, those of the recipe.
    """

    recipes: list[str]
    overlays: list[str] = field(default_factory=list)
    epochs: int | None = None


@dataclass(frozen=True)
class Column:
    """Args: measure, the name of the number in our results; better, whether more or less is better."""

    measure: str
    better: Literal["more", "less"]


@dataclass(frozen=True)
class Row:
    """One line.

    Args:
        published: the numbers exactly as printed, by column, as far as the paper's text has them.
        overlay: the name of the ablation's config.
        stage: the only one that the overlay is laid over, counted from 1; by default all.
        epochs: at the paper's budget; "budget" takes the budget's own number, None the recipe's.
        others: whether the model is another paper's, which cannot be trained here.
    """

    published: dict[str, str] = field(default_factory=dict)
    overlay: str | None = None
    stage: int | None = None
    epochs: int | Literal["budget"] | None = "budget"
    others: bool = False


@dataclass(frozen=True)
class Table:
    """Args: protocol, what the published numbers were measured on, as far as the papers say; about, remarks."""

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
        """The budget of that name.  Raises: TableError, there is none."""
        if name not in self.budgets:
            raise TableError(f"table {self.name} has no {name!r} budget; it has {', '.join(self.budgets)}")
        return self.budgets[name]


def names() -> list[str]:
    """The names of all tables."""
    return sorted(file.stem for file in HOME.glob("*.yaml"))


def read(name: str) -> Table:
    """Reads the table of that name.  Raises: TableError, with the nearest name, there is none."""
    if name not in names():
        raise TableError(f"there is no table {name!r}{did_you_mean(name, names())}; there are {', '.join(names())}")
    content = yaml.safe_load((HOME / f"{name}.yaml").read_text(encoding="utf-8"))
    content["budgets"] = {key: Budget(**value) for key, value in content["budgets"].items()}
    content["columns"] = {key: Column(**value) for key, value in content["columns"].items()}
    content["rows"] = {key: Row(**value) for key, value in content["rows"].items()}
    return Table(name=name, **content)

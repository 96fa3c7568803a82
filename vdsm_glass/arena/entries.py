"""Which models enter an arena: those that have a recipe for its data and its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass import recipes
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.registry import imported, kind_named

STAGES = ("pretrain", "sequence")
PAPER = "paper"
"""The run whose recipes are named after the data alone."""


@dataclass(frozen=True)
class Entry:
    """A model in an arena.

    Args: name, of its folder below experiments/; recipes, of its stages, in order.
    """

    name: str
    recipes: tuple[Path, ...]

    @property
    def model_class(self) -> type[Model]:
        """The class of the trained model.  Raises: UserError, no recipe names one, or it has not registered."""
        named = None
        for file in [*recipes.parts_of(self.recipes[-1]), self.recipes[-1]]:
            model = recipes.read(file).get("model")
            named = (model or {}).get("class_path", named) if isinstance(model, dict | None) else model
        if named is None:
            raise UserError(f"{self.recipes[-1]}: names no model.class_path, so it cannot enter an arena")
        return kind_named(getattr(imported(named), "kind", named)).model_class


def find(data: str, run: str, *, models: Sequence[str] = (), home: Path = Path(recipes.HOME)) -> list[Entry]:
    """The models that have a recipe, trivial ones last.

    A recipe is `<home>/<model>/<data>/<run>.yaml`, or for a model of two stages
    `<home>/<model>/<run>/<data>_pretrain.yaml` and `..._sequence.yaml`. Those of the run "paper" are
    `<home>/<model>/<data>.yaml`, or `<data>_pretrain.yaml` and `..._sequence.yaml`.

    Args: models, those that are wanted; by default all.
    Raises: UserError, one of these has no such recipe, or no model has.
    """
    if not home.is_dir():
        raise UserError(
            f"there is no folder {home}; start the arena where the recipes are, in a clone of the repository"
        )
    found = {folder.name: entry for folder in sorted(home.iterdir()) if (entry := _entry(folder, data, run))}
    for name in models:
        if name not in found:
            raise UserError(
                f"{name!r} has no recipe {home}/{name}/{data}/{run}.yaml{did_you_mean(name, found)}; "
                f"of {data} and {run} there are {', '.join(found) or 'none'}"
            )
    if not found:
        runs = sorted({file.stem for file in home.glob(f"*/{data}/*.yaml")})
        raise UserError(
            f"no model has a recipe {home}/*/{data}/{run}.yaml; of {data} there are: {', '.join(runs) or 'none'}"
        )
    chosen = [entry for name, entry in found.items() if not models or name in models]
    return sorted(chosen, key=lambda entry: entry.model_class.trivial)


def _entry(folder: Path, data: str, run: str) -> Entry | None:
    paper = run == PAPER
    single = folder / f"{data}.yaml" if paper else folder / data / f"{run}.yaml"
    if single.is_file():
        return Entry(folder.name, (single,))
    staged = tuple((folder if paper else folder / run) / f"{data}_{stage}.yaml" for stage in STAGES)
    return Entry(folder.name, staged) if all(file.is_file() for file in staged) else None

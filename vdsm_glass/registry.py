"""Which kinds of models there are. A model registers itself in its own folder; the rest of the program asks here.

A folder of `vdsm_glass` that holds a model has a `registration.py`, which calls `register` and imports nothing heavy.
An installed package registers its models by an entry point of the group `vdsm_glass.models`, which names such a module.
A model that is not installed is found where `VDSM_GLASS_MODELS` names its module; several are separated by commas. No
checkpoint or export can name a module to import: it names a kind, and the kind must be registered.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import vdsm_glass
from data_modules.common.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from vdsm_glass.generate.vocabulary import Model

ENTRY_POINTS = "vdsm_glass.models"
VARIABLE = "VDSM_GLASS_MODELS"


@dataclass(frozen=True)
class ModelKind:
    """One kind of model. Classes are given by their import paths, and imported when they are used.

    Args:
        name: what hyper-parameters and exports call it.
        model: the subclass of `vdsm_glass.generate.vocabulary.Model`: its network, verbs, protocols, page and card.
        module: the LightningModule that trains it. Its class has this name as `kind` and keeps the network as `net`;
            it saves `{"kind": name}` and the network's arguments as hyper-parameters.
    """

    name: str
    model: str
    module: str

    @property
    def model_class(self) -> type[Model]:
        """The class of trained models of this kind."""
        return imported(self.model)


_KINDS: dict[str, ModelKind] = {}


def register(kind: ModelKind) -> None:
    """Adds a kind.  Raises: ValueError, another model has registered under this name."""
    if _KINDS.setdefault(kind.name, kind) != kind:
        raise ValueError(f"two models register as {kind.name!r}: {_KINDS[kind.name].model} and {kind.model}")


def kinds() -> dict[str, ModelKind]:
    """All kinds by name.  Raises: UserError, a module that `VDSM_GLASS_MODELS` names cannot be imported."""
    _import_registrations()
    for module in filter(None, os.environ.get(VARIABLE, "").split(",")):
        try:
            import_module(module.strip())
        except ImportError as error:
            raise UserError(f"{VARIABLE} names {module.strip()!r}, which cannot be imported: {error}") from error
    return dict(_KINDS)


def kind_named(name: str) -> ModelKind:
    """The kind of that name.  Raises: UserError, no model has registered under it."""
    known = kinds()
    if name not in known:
        raise UserError(
            f"there is no kind of model {str(name)[:60]!r}{did_you_mean(str(name), known)}; there are "
            f"{', '.join(sorted(known))}. Install the package that has it, or name its module in {VARIABLE}"
        )
    return known[name]


def model_of(module: Any) -> Model | None:
    """The model that a LightningModule trains, with all its verbs; None if it has not registered as a kind.

    What this model makes stays on the module's device.
    """
    kind = kinds().get(getattr(module, "kind", ""))
    return kind and kind.model_class(module.net, device=module.device, output_device=module.device)


def imported(path: str) -> Any:
    """The class or function at a dotted path, `package.module.Name`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@cache
def _import_registrations() -> None:
    """Imports what registers the kinds of this package and of those that are installed."""
    for part in iter_modules(vdsm_glass.__path__):
        name = f"vdsm_glass.{part.name}.registration"
        if part.ispkg and find_spec(name):
            import_module(name)
    for point in entry_points(group=ENTRY_POINTS):
        point.load()

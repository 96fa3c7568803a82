"""GLASS: foreground, global shifts, local actions and a recurrent renderer.  [Davtyan & Favaro, arXiv 2204.06558]"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdsm_glass.glass.module import GLASSModule

__all__ = ["GLASSModule"]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who train; the networks do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vdsm_glass.glass.module"), name)

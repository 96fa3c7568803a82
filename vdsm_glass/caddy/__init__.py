"""CADDY, Playable Video Generation: discrete actions as a bottleneck.  [Menapace et al., arXiv 2101.12195]"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdsm_glass.caddy.module import CADDYModule

__all__ = ["CADDYModule"]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who train; the networks do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vdsm_glass.caddy.module"), name)

"""Take video apart and play it back under control: `load` a trained model, `save` what it makes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdsm_glass.api import load, save

__all__ = ["load", "save"]


def __getattr__(name: str) -> Any:
    """Import PyTorch only for those who load a model."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vdsm_glass.api"), name)

"""A latent action model: inverse and forward dynamics around a codebook.  [Bruce et al., arXiv 2402.15391]"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdsm_glass.latent_actions.module import LatentActionsModule

__all__ = ["LatentActionsModule"]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who train; the networks do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vdsm_glass.latent_actions.module"), name)

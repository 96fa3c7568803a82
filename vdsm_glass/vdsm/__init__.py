"""VDSM: identity, dynamics and poses, by a mixture-of-experts decoder.  [Vowels et al., arXiv 2103.07292]"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vdsm_glass.vdsm.module import VDSMPretrain, VDSMSequence

__all__ = ["VDSMPretrain", "VDSMSequence"]


def __getattr__(name: str) -> Any:
    """Import Lightning only for those who train; the networks and densities do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vdsm_glass.vdsm.module"), name)

"""Where weights that others trained are found. Nothing is downloaded here."""

from __future__ import annotations

import os
from pathlib import Path

from data_modules.errors import UserError

CACHE = "VDSM_GLASS_CACHE"


def cache_folder() -> Path:
    """Where weights of others are kept: the folder that `VDSM_GLASS_CACHE` names, else the user's cache."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vdsm_glass"


def find(name: str, *, given: Path | None, wanted_by: str, address: str, otherwise: str) -> Path:
    """The file of pretrained weights `name`: the one given, or of that name in our cache or in PyTorch Hub's.

    Args:
        wanted_by: what needs it, for the message.
        address: where it can be had.
        otherwise: what to do without it.

    Raises: UserError, it is not there.
    """
    import torch

    places = [given] if given else [cache_folder() / name, Path(torch.hub.get_dir()) / "checkpoints" / name]
    for place in places:
        if place.is_file():
            return place
    raise UserError(
        f"{wanted_by} needs the weights {name}, which are not there: looked for {' and '.join(map(str, places))}. "
        f"Download {address} to {places[0]}, or {otherwise}"
    )

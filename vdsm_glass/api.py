"""A trained model in a few lines: `model = load(path); save(model.transfer(source, target), "made.gif")`.

Videos go in as a path (film, GIF, picture, folder of pictures), as (t, h, w, 3) uint8, as (t, 3, h, w) of floats in
[0, 1], or as several of one length: (b, ...) or a list. They are resized and cropped to what the model takes. Videos
come out as (..., t, 3, h, w) float32 in [0, 1] on the CPU.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vdsm_glass.export import read
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.media import save

__all__ = ["Model", "load", "save"]


def load(path: Path | str, *, device: torch.device | str | None = None) -> Model:
    """A trained model: a checkpoint, a folder of `vdsm-glass export`, a name of `vdsm-glass models`, `hf://owner/name`.

    Args: device, the GPU by default where there is one.
    Raises: UserError, there is none of that name; CheckpointError, a
        file is missing, cut short, foreign or does not fit; no code from a file is run.
    """
    return read(path, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))

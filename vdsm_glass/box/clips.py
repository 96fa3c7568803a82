"""Clips that lie beside a model, so that no dataset has to be prepared: one lossless picture, and their names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from PIL.Image import DecompressionBombError

from data_modules.common.errors import MALFORMED, DataError
from data_modules.common.files import replacing, write_json
from vdsm_glass.pictures import to_uint8
from vdsm_glass.play.clips import NamedClip

PICTURE, NAMES = "clips.webp", "clips.json"


def write_clips(clips: Sequence[NamedClip], folder: Path) -> None:
    """Writes clips of one length and size: a column each, time downwards."""
    video = to_uint8(torch.stack([clip.video for clip in clips]))
    page = Image.fromarray(rearrange(np.asarray(video), "n t h w c -> (t h) (n w) c"))
    with replacing(folder / PICTURE) as temporary:
        page.save(temporary, lossless=True, quality=100, method=6)
    labels = [{"identity": clip.identity, "action": clip.action} for clip in clips]
    write_json({"frames": len(clips[0].video), "clips": labels}, folder / NAMES)


def read_clips(folder: Path) -> list[NamedClip]:
    """The clips beside a model, videos (t, 3, h, w) in [0, 1]; none where there are none.

    Raises: DataError, a file is damaged, or the two do not fit.
    """
    if not (folder / NAMES).is_file():
        return []
    try:
        content = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        labels, frames = content["clips"], content["frames"]
        with Image.open(folder / PICTURE, formats=["WEBP"]) as picture:
            page = torch.from_numpy(np.array(picture.convert("RGB")))
        video = rearrange(page, "(t h) (n w) c -> n t c h w", t=frames, n=len(labels)).float() / 255
        return [NamedClip(each, str(a["identity"]), str(a["action"])) for each, a in zip(video, labels, strict=True)]
    except (OSError, DecompressionBombError, *MALFORMED) as error:
        raise DataError(f"{folder}: {NAMES} and {PICTURE} hold no clips ({error}); copy the model again") from error

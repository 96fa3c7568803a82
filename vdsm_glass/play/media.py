"""Pictures for the page, recordings from it, and files that people bring to it."""

from __future__ import annotations

import base64
import io
import re
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from data_modules.common.errors import DataError
from data_modules.sources.collection import decode_frames
from data_modules.sources.frames import fit
from vdsm_glass.pictures import enlarge, to_uint8, write_gif, write_mp4

MOST_BYTES = 20_000_000
"""The largest upload."""
MOST_FRAMES = 120
"""How many frames of a video are read."""
MOST_SECONDS = 20.0
"""How long the decoding of an upload may take."""
FPS = 8
RECORDED_PIXELS = 256


def png(picture: Tensor) -> bytes:
    """(3, h, w) in [0, 1] -> a PNG. It is packed fast and not small, because the browser is on the same machine."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(picture)).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def data_url(content: bytes) -> str:
    """An address that holds a PNG."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def strip(clip: Tensor) -> Tensor:
    """(t, 3, h, w) -> (3, h, t w), frames from left to right, which the page's style sheet plays."""
    return rearrange(clip, "t c h w -> c h (t w)")


def recording(clip: Tensor, kind: Literal["gif", "mp4"]) -> bytes:
    """(t, 3, h, w) in [0, 1] -> an enlarged GIF or MP4."""
    write = {"gif": write_gif, "mp4": write_mp4}[kind]
    with tempfile.TemporaryDirectory() as folder:
        return write(enlarge(clip, at_least=RECORDED_PIXELS), Path(folder) / f"clip.{kind}", fps=FPS).read_bytes()


def read_upload(content: bytes, name: str, *, height: int, width: int, most_frames: int = MOST_FRAMES) -> Tensor:
    """The first frames of a picture (JPG, PNG, WebP) or video that was uploaded. Their middle is cut out to fit.

    Args: name, as the browser gives it; it is only shown.   Returns: (t, 3, height, width) in [0, 1].
    Raises: DataError naming the file, where it is too large, damaged, of another kind, or takes too long.
    """
    name = re.sub(r"[^\w.-]+", "_", Path(name).name)[-60:].lstrip(".") or "upload"
    if len(content) > MOST_BYTES:
        raise DataError(f"{name}: has {len(content) / 1e6:.0f} MB; at most {MOST_BYTES // 1_000_000} MB are taken")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        until, pictures = time.monotonic() + MOST_SECONDS, []
        try:
            for picture in decode_frames(path, stop=most_frames):
                pictures.append(np.asarray(fit(picture, height, width)))
                if time.monotonic() > until:
                    raise DataError(f"{path}: takes over {MOST_SECONDS:.0f} s to decode; make it smaller or shorter")
        except DataError as error:
            raise DataError(str(error).replace(f"{folder}/", "")) from error
    return rearrange(torch.from_numpy(np.stack(pictures)), "t h w c -> t c h w").float() / 255

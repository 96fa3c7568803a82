"""Videos in and out: whatever holds one becomes frames that a model takes; what a model makes becomes a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from data_modules.common.errors import DataError, UserError
from data_modules.common.files import replacing
from data_modules.sources import frames
from data_modules.sources.collection import decode_frames
from vdsm_glass.pictures import enlarge, grid, strip, to_uint8, write_gif, write_mp4, write_png

log = logging.getLogger(__name__)

Source = str | Path | np.ndarray | Tensor | Sequence[Any]
"""A path of a film, GIF, picture or folder of pictures; (t, h, w, 3) uint8; ([b,] t, 3, h, w) in [0, 1]; a list."""

MOST_FRAMES = 256
"""Of a film that are read."""
SUFFIXES = (".gif", ".webp", ".mp4", ".png", ".npz")
LEGIBLE = 128
"""Pixels that the shorter side of a frame has at least in a file for people."""
ROWS = 8
"""A PNG of more videos than that shows pages instead of rows."""


Fit = Callable[[int, int], tuple[int, int]]
"""From height and width as they are to those that are wanted."""


def read_frames(source: Source, fit: Fit, *, most: int | None = None) -> Tensor:
    """Frames of one video, or of several of one length, at the size that `fit` says; their middle is cut out.

    Args: most, frames to take; all by default, of a file at most `MOST_FRAMES`.
    Returns: (t, 3, h, w), or (b, t, 3, h, w) for a batch or list, float32 in [0, 1].
    Raises: DataError, a file is missing, damaged or of another kind; UserError, an array of another form.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source), fit, most=most or MOST_FRAMES)
    if isinstance(source, np.ndarray | Tensor):
        video = _from_array(torch.as_tensor(source))[..., :most, :, :, :]
        return fitted(video, fit(*video.shape[-2:]))
    if not isinstance(source, Sequence) or not source:
        raise UserError(f"{type(source).__name__} is no video; give a path, an array or tensor, or a list of them")
    videos = [read_frames(each, fit, most=most) for each in source]
    shapes = {tuple(each.shape) for each in videos}
    if len(shapes) > 1 or videos[0].ndim != 4:
        found = ", ".join(str(shape) for shape in sorted(shapes))
        raise UserError(f"a list needs videos of one length and size, found (t, 3, h, w) of {found}; cut them to fit")
    return torch.stack(videos)


def fitted(video: Tensor, size: tuple[int, int]) -> Tensor:
    """The video at `size`, (height, width): its middle, cut out to that shape and antialiased.

    Args: video (..., 3, h, w) in [0, 1].
    """
    height, width = size
    h, w = video.shape[-2:]
    if (h, w) == size:
        return video
    kept = min(h, round(w * height / width)), min(w, round(h * width / height))
    top, left = ((side - part) // 2 for side, part in zip((h, w), kept, strict=True))
    middle = video[..., top : top + max(kept[0], 1), left : left + max(kept[1], 1)]
    flat = middle.reshape(-1, *middle.shape[-3:])
    resized = F.interpolate(flat, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0, 1).reshape(*video.shape[:-2], height, width)


def save(video: Tensor, path: Path | str, *, fps: float = 8.0, **arrays: Tensor) -> Path:
    """Writes a video, or several side by side, by the suffix: .gif, .webp and .mp4 move, .png has time to the right.

    .npz holds the numbers themselves, `video` as it is given.

    Args: video ([[r,] k,] t, 3, h, w) in [0, 1], r rows of k videos; arrays, what else an .npz is to hold.
    Raises: UserError, another suffix, a video of another form, or a place that cannot be written to.
    """
    path = Path(path)
    check_place(path)
    if not 4 <= video.ndim <= 6 or video.shape[-3] != 3 or not video.numel():
        raise UserError(f"{path}: a video is ([[rows,] columns,] t, 3, h, w), found {tuple(video.shape)}")
    try:
        return _write_numbers(arrays | {"video": video}, path) if path.suffix == ".npz" else _draw(video, path, fps=fps)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}. Name another file.") from error


def check_place(path: Path) -> None:
    """Raises: UserError, no file of that suffix is written, or none there; to be asked before work is done."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot be written as {path.suffix or 'a file without suffix'}; {', '.join(SUFFIXES)}")
    folder = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = f"{path} is a folder" if path.is_dir() else f"{folder} is no folder that you may write to"
        raise UserError(f"{path} cannot be written: {what}. Name another file.")


def _write_numbers(arrays: dict[str, Tensor], path: Path) -> Path:
    with replacing(path) as temporary:
        named: dict[str, Any] = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
        np.savez_compressed(temporary, **named)
    return path


def _draw(video: Tensor, path: Path, *, fps: float) -> Path:
    """([[r,] k,] t, 3, h, w) → a file for people."""
    cells = video.detach().cpu().reshape(*(1,) * (6 - video.ndim), *video.shape)
    if path.suffix == ".png":
        return write_png(_still(cells), path)
    page = (
        grid(enlarge(cells, at_least=LEGIBLE)) if cells.shape[:2] != (1, 1) else enlarge(cells, at_least=LEGIBLE)[0, 0]
    )
    if path.suffix == ".gif":
        return write_gif(page, path, fps=fps)
    if path.suffix == ".mp4":
        return write_mp4(page, path, fps=round(fps))
    return _write_webp(page, path, fps=fps)


def _still(cells: Tensor) -> Tensor:
    """(r, k, t, 3, h, w) → (3, H, W): a row a video, column by column, or of many a few pages, of one time each."""
    rows, columns, t = cells.shape[:3]
    if rows * columns <= ROWS:
        videos = rearrange(cells, "r k ... -> (k r) ...")
        kept = videos[videos.flatten(1).amin(dim=1) < 1]  # a white one only keeps a place on a page
        return strip(enlarge(kept if len(kept) else videos, at_least=64), frames=12)
    shown = torch.linspace(0, t - 1, min(t, 4)).round().long()
    pages = grid(enlarge(cells, at_least=64))[shown]
    wide = pages.shape[-1] > pages.shape[-2]
    return grid(rearrange(pages, "t ... -> t 1 ..." if wide else "t ... -> 1 t ..."), gap=6)


def _write_webp(page: Tensor, path: Path, *, fps: float) -> Path:
    first, *rest = [Image.fromarray(frame) for frame in to_uint8(page)]
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, lossless=True)
    return path


def _from_array(given: Tensor) -> Tensor:
    """([b,] t, h, w, 3) uint8 or ([b,] t, 3, h, w) float → ([b,] t, 3, h, w) float32 in [0, 1]."""
    shape = tuple(given.shape)
    expected = "([b,] t, h, w, 3) uint8, or ([b,] t, 3, h, w) of floats in [0, 1]"
    if given.ndim not in (4, 5) or not given.numel():
        raise UserError(f"an array of shape {shape} is no video; expected {expected}")
    if given.dtype == torch.uint8 and shape[-1] == 3:
        return rearrange(given, "... h w c -> ... c h w").float() / 255
    if given.dtype == torch.uint8 and shape[-3] == 3:
        return given.float() / 255
    if not given.is_floating_point() or shape[-3] != 3:
        raise UserError(f"an array {shape} of {given.dtype} is no video; expected {expected}")
    low, high = (float(value) for value in given.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise UserError(f"a video has values from {low:.3g} to {high:.3g}; expected {expected}")
    return given.detach().float()


def _read_file(path: Path, fit: Fit, *, most: int) -> Tensor:
    """(t, 3, h, w)"""
    shown: list[np.ndarray] = []
    for picture in decode_frames(path, stop=most + 1):
        height, width = fit(picture.height, picture.width)
        shown.append(np.asarray(frames.fit(picture, height, width)))
        if shown[-1].shape != shown[0].shape:
            raise DataError(f"{path}: has frames of several sizes; all frames of a video must have one")
    if not shown:
        raise DataError(f"{path}: holds no pictures; expected a film, or a folder of JPG or PNG pictures")
    if len(shown) > most:
        log.info("%s: its first %d frames are taken", path, most)
    return rearrange(torch.from_numpy(np.stack(shown[:most])), "t h w c -> t c h w").float() / 255

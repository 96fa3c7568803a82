"""Reads videos from files and arrays into frames for a model, and saves a model's videos to files."""

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
"""A video: the path of a film, GIF, picture or folder of pictures; ([b,] t, h, w, 3) uint8; ([b,] t, 3, h, w) uint8 or
floats in [0, 1]; or a list of such videos."""

MOST_FRAMES = 256
"""The most frames that are read of a file by default."""
SUFFIXES = (".gif", ".webp", ".mp4", ".png", ".npz")
LEGIBLE = 128
"""The fewest pixels of a frame's shorter side in a GIF, WebP or MP4; smaller frames are enlarged."""
ROWS = 8
"""The most videos that a PNG shows as rows; more are shown as pages, each of one point in time."""

Fit = Callable[[int, int], tuple[int, int]]
"""From a video's height and width to those that the model takes."""


def read_frames(source: Source, fit: Fit, *, most: int | None = None) -> Tensor:
    """Frames of one video, or of several of one length, cropped to the middle and resized as `fit` says.

    Args: most, frames to take; by default all of an array, and `MOST_FRAMES` of a file.
    Returns: (t, 3, h, w), or (b, t, 3, h, w) for a batch or list, float32 in [0, 1].
    Raises: DataError, a file is missing, damaged or of another kind; UserError, an array of another form.
    """
    if isinstance(source, str | Path):
        return _read_file(Path(source), fit, most=most or MOST_FRAMES)
    if isinstance(source, np.ndarray | Tensor):
        video = _from_array(torch.as_tensor(source))[..., :most, :, :, :]
        return fitted(video, fit(*video.shape[-2:]))
    if not isinstance(source, Sequence) or not source:
        raise UserError(f"{type(source).__name__} is not a video; give a path, an array or tensor, or a list of them")
    videos = [read_frames(each, fit, most=most) for each in source]
    shapes = {tuple(each.shape) for each in videos}
    if len(shapes) > 1 or videos[0].ndim != 4:
        found = ", ".join(str(shape) for shape in sorted(shapes))
        raise UserError(f"a list needs videos of one length and size, found (t, 3, h, w) of {found}; cut them to fit")
    return torch.stack(videos)


def fitted(video: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of the video in the shape of `size`, (height, width), resized to it with antialiasing.

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
    """Writes a video, or several side by side, as .gif, .webp, .mp4, .png (time to the right), or .npz (the numbers).

    Args: video ([[r,] k,] t, 3, h, w) in [0, 1], r rows of k videos; arrays, further contents of an .npz.
    Raises: UserError, another suffix, a video of another form, or a path that cannot be written.
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
    """Checks before a long computation that `save` can write to `path`.  Raises: UserError, it cannot."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: cannot be written as {path.suffix or 'a file without suffix'}; {', '.join(SUFFIXES)}")
    folder = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = f"{path} is a folder" if path.is_dir() else f"{folder} is not a folder that you may write to"
        raise UserError(f"{path} cannot be written: {what}. Name another file.")


def _write_numbers(arrays: dict[str, Tensor], path: Path) -> Path:
    with replacing(path) as temporary:
        named: dict[str, Any] = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
        np.savez_compressed(temporary, **named)
    return path


def _draw(video: Tensor, path: Path, *, fps: float) -> Path:
    """Writes ([[r,] k,] t, 3, h, w) as pictures."""
    cells = video.detach().cpu().reshape(*(1,) * (6 - video.ndim), *video.shape)
    if path.suffix == ".png":
        return write_png(_still(cells), path)
    cells = enlarge(cells, at_least=LEGIBLE)
    page = grid(cells) if cells.shape[:2] != (1, 1) else cells[0, 0]
    if path.suffix == ".gif":
        return write_gif(page, path, fps=fps)
    if path.suffix == ".mp4":
        return write_mp4(page, path, fps=round(fps))
    return _write_webp(page, path, fps=fps)


def _still(cells: Tensor) -> Tensor:
    """(r, k, t, 3, h, w) → (3, H, W): a row for each video, column by column, or a few pages of one time each."""
    rows, columns, t = cells.shape[:3]
    if rows * columns <= ROWS:
        videos = rearrange(cells, "r k ... -> (k r) ...")
        kept = videos[videos.flatten(1).amin(dim=1) < 1]  # white videos are empty corners of a grid
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
        raise UserError(f"an array of shape {shape} is not a video; expected {expected}")
    if given.dtype == torch.uint8 and shape[-1] == 3:
        return rearrange(given, "... h w c -> ... c h w").float() / 255
    if given.dtype == torch.uint8 and shape[-3] == 3:
        return given.float() / 255
    if not given.is_floating_point() or shape[-3] != 3:
        raise UserError(f"an array {shape} of {given.dtype} is not a video; expected {expected}")
    low, high = (float(value) for value in given.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise UserError(f"a video has values from {low:.3g} to {high:.3g}; expected {expected}")
    return given.detach().float()


def _read_file(path: Path, fit: Fit, *, most: int) -> Tensor:
    """The frames of a file, (t, 3, h, w)."""
    shown: list[np.ndarray] = []
    for picture in decode_frames(path, stop=most + 1):
        height, width = fit(picture.height, picture.width)
        shown.append(np.asarray(frames.fit(picture, height, width)))
        if shown[-1].shape != shown[0].shape:
            raise DataError(f"{path}: has frames of several sizes; all frames of a video must have one")
    if not shown:
        raise DataError(f"{path}: holds no pictures; expected a film, or a folder of JPG or PNG pictures")
    if len(shown) > most:
        log.info("%s: only its first %d frames are read", path, most)
    return rearrange(torch.from_numpy(np.stack(shown[:most])), "t h w c -> t c h w").float() / 255

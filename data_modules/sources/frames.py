"""Reading pictures, making them fit, and folders of pictures that are clips: one JPG or PNG a frame."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from data_modules.common.errors import DataError

Shape = Literal["crop", "stretch", "pad"]
"""How a picture of another shape is made to fit: its middle is cut out, it is distorted, or it gets black bars."""
Region = tuple[int, int, int, int]
"""Left, top, width and height of a part of a picture, in pixels."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
ANIMATION = ".webp"
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 1 << 26
"""A picture that claims more pixels than 8192 x 8192 is refused before it is decoded."""
MAX_BYTES = 1 << 28
"""A larger file is refused before it is read; the largest picture takes less, even uncompressed."""


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts `img_9` before `img_10`; the whole name breaks ties (`1` and `01`)."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts], path.name


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, in natural order; hidden ones are left out."""
    return sorted(
        (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=natural_key
    )


def frame_paths(folder: Path) -> list[Path]:
    """The pictures of one clip, in natural order of their names; hidden files are left out."""
    pictures = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(pictures, key=natural_key)


def fit(picture: Image.Image, height: int, width: int, shape: Shape = "crop") -> Image.Image:
    """The picture at the asked size, antialiased by a triangle filter as wide as the ratio."""
    if picture.size == (width, height):
        return picture
    if shape == "stretch":
        return picture.resize((width, height), resample=Image.Resampling.BILINEAR)
    crop_or_pad = ImageOps.fit if shape == "crop" else ImageOps.pad
    return crop_or_pad(picture, (width, height), method=Image.Resampling.BILINEAR)


def cut(picture: Image.Image, region: Region | None) -> Image.Image:
    """The region of the picture; all of it where there is none."""
    if region is None:
        return picture
    left, top, width, height = region
    return picture.crop((left, top, left + width, top + height))


def resize(video: np.ndarray, height: int, width: int) -> np.ndarray:
    """`fit` for every frame: (t, h, w, 3) uint8 -> (t, height, width, 3) uint8."""
    if video.shape[1:3] == (height, width):
        return video
    return np.stack([np.asarray(fit(Image.fromarray(frame), height, width)) for frame in video])


def read_picture(path: Path, *, mode: str = "RGB") -> Image.Image:
    """One decoded picture, converted to `mode`.

    Raises: DataError naming the file where it is missing, truncated, not a picture, or claims absurd dimensions.
    """
    with _opened(path, FORMATS) as picture:
        return picture.convert(mode)


def read_animation(path: Path) -> Iterator[Image.Image]:
    """The frames of a WebP file, as RGB pictures.  Raises: as `read_picture`."""
    with _opened(path, ("WEBP",)) as picture:
        for frame in range(getattr(picture, "n_frames", 1)):
            picture.seek(frame)
            yield picture.convert("RGB")


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > MAX_BYTES:
                raise DataError(f"{path}: has {size} bytes; at most {MAX_BYTES} are read. Make the picture smaller.")
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                Image.open(file, formats=formats).verify()  # a PNG's checksums, which decoding does not check
                file.seek(0)
                opened = Image.open(file, formats=formats)
            with opened as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise DataError(
                        f"{path}: the picture claims {picture.width}x{picture.height} pixels; at most {MAX_PIXELS} are"
                        " read. Replace the file or make it smaller."
                    )
                yield picture
    # Pillow's decoders raise SyntaxError and ValueError too, for damaged chunks.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        kind = " or ".join(formats).replace("JPEG", "JPG")
        raise DataError(
            f"{path}: cannot be read as a {kind} picture ({error}). Replace the file with an intact copy."
        ) from error


def read_clip(
    paths: Sequence[Path], height: int, width: int, shape: Shape = "crop", region: Region | None = None
) -> np.ndarray:
    """(t, height, width, 3) uint8 from t pictures of any one size, or from a region of each.

    Raises: DataError where a picture cannot be read, or where its size differs from the first one's.
    """
    if not paths:
        raise DataError("A clip without frames: expected at least one JPG or PNG picture.")
    video = np.empty((len(paths), height, width, 3), dtype=np.uint8)
    expected = None
    for frame, path in zip(video, paths, strict=True):
        picture = read_picture(path)
        expected = expected or picture.size
        if picture.size != expected:
            raise DataError(
                f"{path}: the frame is {picture.width}x{picture.height}, the first of its clip is"
                f" {expected[0]}x{expected[1]}. All frames of a clip must have one size."
            )
        frame[:] = np.asarray(fit(cut(picture, region), height, width, shape))
    return video

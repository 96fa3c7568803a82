"""Small copies of LPC sheets and MNIST, drawn by our code and written in the real formats, for the real readers."""

from __future__ import annotations

import gzip
import shutil
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from einops import rearrange
from PIL import Image

from data_modules.drawings.characters import draw_sheet
from data_modules.sources.idx import FILES, UNSIGNED_BYTES

VERSION = 1
"""Part of what a store of drawn sheets or digits is made from: raise it when a drawing changes."""


def write_once(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill `folder` unless it is there: completely or not at all, also with several processes at once."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(unfinished)
        unfinished.chmod(0o755)  # mkdtemp makes it private
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # if it is, another process was first, with the same content
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_lpc_sheets(folder: Path, counts: Mapping[str, int]) -> None:
    """LPC sheets, `folder/LAYER/N.png`, as many of each layer as `counts` says."""
    for layer, count in counts.items():
        (folder / layer).mkdir()
        for choice in range(count):
            draw_sheet(layer, choice).save(folder / layer / f"{choice}.png")


def write_mnist(folder: Path, *, train: int, test: int) -> None:
    """MNIST's four IDX files, gzipped, with that many of scikit-learn's digits."""
    images, labels = small_digits()
    parts = {"train": slice(0, train), "test": slice(train, train + test)}
    for part, chosen in parts.items():
        for name, array in zip(FILES[part], (images[chosen], labels[chosen]), strict=True):
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of a uint8 array."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, UNSIGNED_BYTES, array.ndim, *array.shape) + array.tobytes()


def small_digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's 1797 digits, 8 x 8, as MNIST has them: 20 x 20 in a box of 28 x 28.

    Returns: images (n, 28, 28) uint8; labels (n,) uint8.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    small = rearrange(np.rint(np.asarray(pixels) * (255 / 16)).astype(np.uint8), "n (h w) -> n h w", h=8)
    images = np.zeros((len(small), 28, 28), dtype=np.uint8)
    for image, digit in zip(images, small, strict=True):
        image[4:24, 4:24] = np.asarray(Image.fromarray(digit).resize((20, 20), Image.Resampling.BICUBIC))
    return images, np.asarray(labels).astype(np.uint8)

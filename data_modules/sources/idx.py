"""The IDX files of MNIST, plain or gzipped.  [yann.lecun.com/exdb/mnist, "file formats"]

Two zero bytes, a type byte (8: unsigned bytes), the number of dimensions, each dimension as a big-endian uint32, then
the data.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np

from data_modules.common.errors import DataError

UNSIGNED_BYTES = 8
MAX_BYTES = 1 << 30
CHUNK = 1 << 20

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_idx(path: Path, *, dimensions: int, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, which is gzipped if its name ends in `.gz`.

    Args: dimensions: how many the array must have; max_bytes: refuse to read more.
    Returns: uint8 array. Memory depends on what the file holds, not on what its header claims.
    Raises: DataError naming the file, what it holds and what was expected.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            shape = _read_header(stream, path, dimensions=dimensions, max_bytes=max_bytes)
            data = _read_at_most(stream, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}). Download the file again.") from error
    if len(data) != math.prod(shape):
        found = "more than that" if len(data) > math.prod(shape) else f"{len(data)}"
        raise DataError(
            f"{path}: the header promises {math.prod(shape)} bytes {shape}, the file holds {found}."
            " Download the file again."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_header(stream: _Stream, path: Path, *, dimensions: int, max_bytes: int) -> tuple[int, ...]:
    magic = stream.read(4)
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if magic != expected:
        raise DataError(
            f"{path}: starts with {magic.hex(' ') or 'nothing'}, an IDX file of {dimensions}-D unsigned bytes with"
            f" {expected.hex(' ')}. Download the file again; a gzipped one must be called .gz."
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) != 4 * dimensions:
        raise DataError(f"{path}: ends inside its header. Download the file again.")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if not 0 < math.prod(shape) <= max_bytes:
        raise DataError(
            f"{path}: the header claims dimensions {shape}, {math.prod(shape)} bytes; expected 1 to {max_bytes}."
            " Download the file again."
        )
    return shape


def _read_at_most(stream: _Stream, limit: int) -> bytearray:
    data = bytearray()
    while len(data) < limit and (chunk := stream.read(min(CHUNK, limit - len(data)))):
        data += chunk
    return data


def mnist_files(folder: Path) -> dict[str, tuple[Path, Path]] | None:
    """The paths of MNIST's (images, labels), by part, "train" and "test"; None unless all four files are there."""
    found: dict[str, tuple[Path, Path]] = {}
    for part, names in FILES.items():
        candidates = [(folder / f"{name}.gz", folder / name) for name in names]
        images, labels = (next(filter(Path.is_file, paths), None) for paths in candidates)
        if images is None or labels is None:
            return None
        found[part] = images, labels
    return found


def read_mnist(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, h, w) uint8 and their labels (n,) in 0..9.

    Raises: DataError where a file is malformed, or where the two differ in length.
    """
    images = read_idx(images_path, dimensions=3)
    labels = read_idx(labels_path, dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels; expected equal numbers."
            " Download both again."
        )
    if labels.max() > 9:
        raise DataError(f"{labels_path}: holds the label {labels.max()}; expected digits 0 to 9. Download it again.")
    return images, labels

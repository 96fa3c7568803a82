"""Arrays in `.npz` archives that are not trusted, also arrays of Python objects, without running code in them.

NumPy stores an array of objects as a pickle, and a pickle is a program. `plain_pickle.py` reads it safely.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from data_modules.common.errors import DataError
from data_modules.sources.plain_pickle import RefusedError, checked_dtype, checked_shape, load_plain

MAX_BYTES = 8 << 30
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class NpyHeader:
    """What an array in an archive claims to be."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


def read_npz(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """All arrays of an archive by name.

    Arrays of objects may hold lists, tuples, dicts, numbers, strings, bytes and arrays.

    Args: max_bytes: refuse an archive that claims to unpack to more, before anything is unpacked.
    Raises: DataError naming the file, and the class where a pickle requests one that is not plain data.
    """
    return {name: read_array(path, name, max_bytes=max_bytes) for name in npz_headers(path, max_bytes=max_bytes)}


def npz_headers(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, NpyHeader]:
    """What each array of an archive claims to be; reads no data.

    Raises: DataError where the file is not an archive of arrays, or claims to unpack to more than `max_bytes`.
    """
    with _naming(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if unpacked > max_bytes:
            raise RefusedError(f"it claims to unpack to {unpacked} bytes; at most {max_bytes} are read")
        headers = {}
        for member in members:
            with _open(archive, member) as stream:
                headers[member.filename.removesuffix(".npy")] = _read_header(stream)
        return headers


def read_array(path: Path, name: str, *, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """One array of an archive; see `read_npz`. The array is read-only."""
    with _naming(path), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.file_size > max_bytes:
            raise RefusedError(f"{name!r} claims to unpack to {member.file_size} bytes; at most {max_bytes} are read")
        with _open(archive, member) as stream:
            header = _read_header(stream)
            if header.dtype.hasobject:
                return _read_objects(stream, header)
            size = math.prod(header.shape) * header.dtype.itemsize
            # One byte more than there should be, because zipfile checks the checksum at the end.
            data = stream.read(size + 1)
            if len(data) != size:
                found = "more" if len(data) > size else str(len(data))
                raise RefusedError(f"{name!r} claims {header.shape} {header.dtype}, {size} bytes, and holds {found}")
            array = np.frombuffer(data, dtype=header.dtype)
            return array.reshape(header.shape, order="F" if header.fortran else "C")


def _read_objects(stream: IO[bytes], header: NpyHeader) -> np.ndarray:
    value = load_plain(stream)
    if not (isinstance(value, np.ndarray) and value.dtype == object and value.shape == header.shape):
        found = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise RefusedError(f"an array of objects {header.shape} was promised and {found} found")
    array = value.view(np.ndarray)
    array.flags.writeable = False
    return array


def _open(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    if not member.filename.endswith(".npy"):
        raise RefusedError(f"it holds {member.filename[:80]!r}, which is not an array (.npy)")
    if member.compress_type not in COMPRESSIONS:
        raise RefusedError(f"{member.filename[:80]!r} is compressed by a method that NumPy does not use")
    return archive.open(member)


def _read_header(stream: IO[bytes]) -> NpyHeader:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise RefusedError(f"its array format has version {version}; expected 1.0 or 2.0")
    shape, fortran, dtype = readers[version](stream)
    return NpyHeader(shape=checked_shape(shape), dtype=checked_dtype(dtype.str), fortran=fortran)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn every error that a malformed archive causes into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except RefusedError as error:
        raise DataError(
            f"{path}: {error}. Expected arrays of numbers, or of sequences that are such arrays; get the file from its"
            " authors again, or write it with numpy.savez from such arrays."
        ) from error
    # Malformed data can make the parsers of zip, NumPy's headers and pickles raise errors of any type.
    except Exception as error:
        raise DataError(
            f"{path}: is not an intact .npz archive of arrays ({type(error).__name__}: {error}). Get the file again."
        ) from error

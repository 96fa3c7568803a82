"""What kind of video a file is, and whether it is complete: decoders report no error at the end of a cut-off file.

Every container says near its start how long it is; a GIF says where each block ends.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

from data_modules.common.errors import DataError

BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot"})
SEGMENT = 0x18538067
EBML = b"\x1a\x45\xdf\xa3"


def container_of(file: IO[bytes], path: Path) -> str:
    """FFmpeg's name for the container of `file`: "mp4" (and mov), "matroska" (and webm), "avi" or "gif".

    Args: path: for messages.
    Raises: DataError where it is none of these, or is cut off.
    """
    size = file.seek(0, 2)
    reader = _Reader(file, size)
    start = reader.peek(12)
    walkers: list[tuple[bool, str, Callable[[_Reader], None]]] = [
        (start[4:8] in BOXES, "mp4", _walk_boxes),
        (start[:4] == EBML, "matroska", _walk_elements),
        (start[:4] == b"RIFF" and start[8:] == b"AVI ", "avi", _walk_chunks),
        (start[:6] in (b"GIF87a", b"GIF89a"), "gif", _walk_gif),
    ]
    for found, name, walk in walkers:
        if found:
            try:
                walk(reader)
            except EOFError:
                raise DataError(
                    f"{path}: is cut off or damaged: a part of it reaches beyond its {size} bytes. Get the file again."
                ) from None
            file.seek(0)
            return name
    what = f"starts with {start.hex(' ')}" if start else "is empty"
    raise DataError(f"{path}: {what}; expected an mp4, webm, avi or gif video. Convert it, or move it away.")


class _Reader:
    """Reads and skips bytes; raises EOFError where the file is too short."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file = file
        self.size = size
        self.position = 0

    @property
    def left(self) -> int:
        return self.size - self.position

    def peek(self, count: int) -> bytes:
        """Up to `count` bytes."""
        self.file.seek(self.position)
        return self.file.read(count)

    def read(self, count: int) -> bytes:
        data = self.peek(count)
        self.skip(count)
        return data

    def skip(self, count: int) -> None:
        if count > self.left:
            raise EOFError
        self.position += count


def _walk_boxes(reader: _Reader) -> None:
    """ISO base media: boxes of a 32-bit size (1: a 64-bit size follows; 0: up to the end), a name and a content."""
    while reader.left >= 8:
        size, name = struct.unpack(">I4s", reader.peek(8))
        if size == 1:
            size = int.from_bytes(reader.peek(16)[8:], "big")
        # Some cameras leave other data behind the last box.
        if size < 8 or not name.isalnum():
            return
        reader.skip(size)


def _walk_elements(reader: _Reader) -> None:
    """EBML: elements of an identifier, a size and a content. The segment, one of the first, holds all others."""
    while reader.left:
        identifier, _ = _variable(reader, keep_marker=True)
        size, unknown = _variable(reader)
        if identifier == SEGMENT and unknown:  # written live: it has no size
            return
        reader.skip(size)
        if identifier == SEGMENT:
            return


def _variable(reader: _Reader, keep_marker: bool = False) -> tuple[int, bool]:
    """A number of one byte more than its first byte has leading zeros, and whether all its bits are set."""
    first = reader.read(1)[0]
    length = 9 - first.bit_length()
    if length > 8:
        raise EOFError  # no number starts like this
    data = bytes([first]) + reader.read(length - 1)
    bits = 7 * length
    value = int.from_bytes(data, "big")
    masked = value & ((1 << bits) - 1)
    return value if keep_marker else masked, masked == (1 << bits) - 1


def _walk_chunks(reader: _Reader) -> None:
    """RIFF: chunks of a name, a little-endian size and a content; a large AVI has several RIFF chunks in a row."""
    while reader.peek(4) == b"RIFF":
        _, size = struct.unpack("<4sI", reader.read(8))
        reader.skip(size)
        reader.position += size % 2  # an odd chunk is padded, or ends the file


def _walk_gif(reader: _Reader) -> None:
    """GIF: a header with a palette, then blocks, up to a trailer."""
    _skip_palette(reader, reader.read(13)[10])
    while (kind := reader.read(1)) != b";":
        if kind == b"!":
            reader.skip(1)
        elif kind == b",":
            _skip_palette(reader, reader.read(9)[8])
            reader.skip(1)
        else:
            raise EOFError  # no block starts like this
        while count := reader.read(1)[0]:
            reader.skip(count)


def _skip_palette(reader: _Reader, flags: int) -> None:
    if flags & 0x80:
        reader.skip(3 << (1 + (flags & 7)))

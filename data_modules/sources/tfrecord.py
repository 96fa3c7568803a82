"""TFRecord files and the tf.train.Example messages in them, without TensorFlow.

A record is its length (8 bytes, little-endian), the length's masked CRC-32C (4), the data, and the data's (4).
[tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details"]
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import google_crc32c
import numpy as np

from data_modules.common.errors import DataError

MAX_RECORD = 1 << 24
"""Bytes. A record that claims to be longer is refused before it is read."""
MAX_RECORDS = 1 << 20
MASK_DELTA = 0xA282EAD8
HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")

Feature = list[bytes] | np.ndarray
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record is: `offset` of its header in `path`, `length` of its data in bytes."""

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """The data.

        Raises: DataError naming file and offset where the data are cut off or do not have their checksum.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + HEADER.size)
                data = file.read(self.length)
                footer = file.read(FOOTER.size)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}). Get the file again.") from error
        if len(footer) != FOOTER.size:
            raise _cut_off(self.path, self.offset)
        if masked_crc32c(data) != FOOTER.unpack(footer)[0]:
            raise DataError(
                f"{self.path}: the record at byte {self.offset} does not have the checksum that was written with it."
                " Get the file again."
            )
        return data

    def features(self, wanted: Container[str]) -> dict[str, Feature]:
        """The features whose names are `wanted` of the tf.train.Example in the record; see `parse_example`.

        Raises: DataError where the record holds no such message.
        """
        try:
            return parse_example(self.read(), wanted)
        except MalformedError as error:
            raise DataError(
                f"{self.path}: the record at byte {self.offset} is not a tf.train.Example ({error}). Get the file"
                " again."
            ) from error


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C of `data` as TFRecord files hold it: turned by 15 bits, and a constant added."""
    value = google_crc32c.value(data)
    return ((value >> 15 | value << 17) + MASK_DELTA) & 0xFFFFFFFF


def records_in(path: Path) -> list[Record]:
    """The records of a file, in their order; reads their headers only.

    Raises: DataError naming the file, and the offset at which it is cut off, or a length is absurd or does not have its
        checksum.
    """
    try:
        with path.open("rb") as file:
            return list(_headers(path, file))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Get the file again.") from error


def _headers(path: Path, file: IO[bytes]) -> Iterator[Record]:
    size, offset, count = file.seek(0, 2), 0, 0
    while offset < size:
        count += 1
        if count > MAX_RECORDS:
            raise DataError(f"{path}: holds more than {MAX_RECORDS} records. Split the file up.")
        file.seek(offset)
        header = file.read(HEADER.size)
        if len(header) != HEADER.size:
            raise _cut_off(path, offset)
        length, checksum = HEADER.unpack(header)
        if masked_crc32c(header[:8]) != checksum:
            raise DataError(
                f"{path}: no record starts at byte {offset}: the length there does not have its checksum. It is not a"
                " TFRecord file (a compressed one must be unpacked), or a damaged one; get it again."
            )
        if length > MAX_RECORD:
            raise DataError(
                f"{path}: the record at byte {offset} claims {length} bytes; at most {MAX_RECORD} are read."
            )
        end = offset + HEADER.size + length + FOOTER.size
        if end > size:
            raise _cut_off(path, offset)
        yield Record(path, offset, length)
        offset = end


def _cut_off(path: Path, offset: int) -> DataError:
    return DataError(f"{path}: is cut off inside the record at byte {offset}. Get the file again.")


class MalformedError(Exception):
    """Some bytes are not a tf.train.Example; the message says why."""


def parse_example(data: bytes, wanted: Container[str]) -> dict[str, Feature]:
    """The features of a tf.train.Example whose names are `wanted`.

    Returns: by name, a list of bytes, a float32 array or an int64 array.
    Raises: MalformedError where `data` is no such message. Memory depends on the size of `data`, not on lengths in it.
    """
    found: dict[str, Feature] = {}
    for features in _messages(memoryview(data), 1):
        for entry in _messages(features, 1):
            name = b"".join(bytes(value) for value in _messages(entry, 1)).decode("utf-8", errors="replace")
            if name in wanted:
                value: Feature = []
                for feature in _messages(entry, 2):
                    value = _feature(feature)
                found[name] = value
    return found


def _feature(message: memoryview) -> Feature:
    for field, wire, value in _fields(message):
        if wire != DELIMITED or not isinstance(value, memoryview):
            continue
        if field == BYTES_LIST:
            return [bytes(item) for item in _messages(value, 1)]
        if field == FLOAT_LIST:
            return _floats(value)
        if field == INT64_LIST:
            return _integers(value)
    return []


def _floats(message: memoryview) -> np.ndarray:
    parts = [bytes(value) for field, wire, value in _fields(message) if field == 1 and isinstance(value, memoryview)]
    packed = b"".join(parts)
    if len(packed) % 4:
        raise MalformedError("a list of floats is not made of 4 bytes each")
    return np.frombuffer(packed, dtype="<f4")


def _integers(message: memoryview) -> np.ndarray:
    numbers: list[int] = []
    for field, _, value in _fields(message):
        if field == 1 and isinstance(value, int):
            numbers.append(value)
        elif field == 1 and isinstance(value, memoryview):
            position = 0
            while position < len(value):
                number, position = _varint(value, position)
                numbers.append(number)
    return np.array(numbers, dtype=np.uint64).view(np.int64)


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """The delimited values of field `number`."""
    for field, wire, value in _fields(message):
        if field == number and wire == DELIMITED and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field of a protocol buffer: a number, or bytes.

    [protobuf.dev/programming-guides/encoding]
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, position = _varint(message, position)
            yield field, wire, value
            continue
        if wire not in (FIXED64, DELIMITED, FIXED32):
            raise MalformedError(f"a field has the wire type {wire}")
        length = 8 if wire == FIXED64 else 4
        if wire == DELIMITED:
            length, position = _varint(message, position)
        if length > len(message) - position:
            raise MalformedError(f"a field claims {length} bytes, {len(message) - position} are left")
        yield field, wire, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise MalformedError("it ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise MalformedError("a number has more than 64 bits")

"""The trajectories of `softmotion30_44k`: a robot arm pushes things about, in 30 frames of 64 x 64.

[Ebert, Finn, Lee & Levine, Self-Supervised Visual Planning with Temporal Skip Connections, CoRL 2017]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from einops import rearrange

from data_modules.common.errors import DataError
from data_modules.sources.frames import natural_key
from data_modules.sources.tfrecord import Feature, Record, records_in

FRAMES = 30
SIDE = 64
IMAGE, POSITION, ACTION = "{}/image_aux1/encoded", "{}/endeffector_pos", "{}/action"
"""The keys of frame 0, 1, ... A second camera, `image_main`, is not used."""
WANTED = frozenset(key.format(frame) for key in (IMAGE, POSITION, ACTION) for frame in range(FRAMES))


@dataclass(frozen=True)
class Trajectory:
    """video (30, 64, 64, 3) uint8; position (30, 3), of the gripper; action (30, 4), as sent to the arm."""

    video: np.ndarray
    position: np.ndarray
    action: np.ndarray


def find_records(folder: Path) -> list[Record]:
    """All records of the folder's `*.tfrecords` files, in natural order of their names; reads headers only.

    Raises: DataError as `records_in`, and where a file is empty.
    """
    records: list[Record] = []
    for path in sorted(folder.glob("*.tfrecords"), key=natural_key):
        found = records_in(path)
        if not found:
            raise DataError(f"{path}: is empty. Get the file again.")
        records += found
    return records


def read_trajectory(record: Record) -> Trajectory:
    """What `record` holds.

    Raises: DataError naming the file, the record and the key that is missing or has another size.
    """
    features = record.features(WANTED)
    pixels = b"".join(_image(record, features, IMAGE.format(frame)) for frame in range(FRAMES))
    video = np.frombuffer(pixels, np.uint8)
    return Trajectory(
        video=rearrange(video, "(t h w c) -> t h w c", t=FRAMES, h=SIDE, w=SIDE),
        position=np.stack([_numbers(record, features, POSITION.format(frame), 3) for frame in range(FRAMES)]),
        action=np.stack([_numbers(record, features, ACTION.format(frame), 4) for frame in range(FRAMES)]),
    )


def _image(record: Record, features: dict[str, Feature], key: str) -> bytes:
    value = features.get(key)
    if not (isinstance(value, list) and len(value) == 1 and len(value[0]) == SIDE * SIDE * 3):
        found = f"{[len(item) for item in value]} bytes" if isinstance(value, list) else "no bytes"
        raise _unexpected(record, key, found, f"{SIDE}x{SIDE}x3 = {SIDE * SIDE * 3} bytes")
    return value[0]


def _numbers(record: Record, features: dict[str, Feature], key: str, count: int) -> np.ndarray:
    value = features.get(key)
    if not (isinstance(value, np.ndarray) and value.dtype == np.float32 and len(value) == count):
        found = f"{len(value)} numbers" if isinstance(value, np.ndarray) else "nothing"
        raise _unexpected(record, key, found, f"{count} floats")
    return value


def _unexpected(record: Record, key: str, found: str, expected: str) -> DataError:
    return DataError(
        f"{record.path}: in the record at byte {record.offset}, {key!r} holds {found}; expected {expected}. Is this"
        " softmotion30_44k?"
    )

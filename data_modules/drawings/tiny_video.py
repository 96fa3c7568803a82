"""Small copies of recorded datasets, drawn by our code and written in the real formats, for the real readers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image

from data_modules.drawings.scenes import draw_push, draw_rally, draw_sequence
from data_modules.sources.matches import COLUMNS
from data_modules.sources.mug import EMOTIONS
from data_modules.sources.softmotion import ACTION, FRAMES, IMAGE, POSITION, SIDE
from data_modules.sources.tfrecord import masked_crc32c

if TYPE_CHECKING:
    from av import VideoStream

VERSION = 2
"""Part of what a store of drawn recordings is made from: raise it when a drawing changes."""

CODECS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mpeg4"}
QUICKLY = {"libx264": {"preset": "ultrafast"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}, "mpeg4": {}}
TRAINING, EVALUATION = 4, 2
"""How many drawn videos there are for training, and for each of validation and test."""
BLACK_BARS = (12, 8)


def write_film(path: Path, video: np.ndarray) -> None:
    """`video`, (t, h, w, 3) uint8 of even sides, as the kind of file that the suffix of `path` says."""
    if path.suffix == ".gif":
        first, *rest = (Image.fromarray(frame) for frame in video)
        first.save(path, save_all=True, append_images=rest, duration=40, loop=0)
        return
    import av

    with av.open(str(path), "w") as container:
        codec = CODECS[path.suffix]
        stream = cast("VideoStream", container.add_stream(codec, rate=25, options=QUICKLY[codec]))
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_pictures(folder: Path, video: np.ndarray) -> None:
    """`folder/00000.png`, one for each frame."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(video):
        # Good compression would take most of the time.
        Image.fromarray(frame).save(folder / f"{number:05d}.png", compress_level=1)


def write_videos(folder: Path, *, frames: int) -> None:
    """A folder of videos as a person may have it: films of all kinds, and folders of pictures, at several depths."""
    places = ("a.mp4", "b.gif", "c", "more/d.webm", "more/e.avi", "more/f", "more/ähnlich/g.mp4", "h.gif", "i", "j.mp4")
    for seed, place in enumerate(places):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = draw_rally(seed, frames=frames, height=64, width=96) if seed % 2 else None
        video = draw_push(seed, frames=frames, size=64).video if drawn is None else drawn
        if path.suffix:
            write_film(path, video)
        else:
            write_pictures(path, video)


def write_rallies(folder: Path, training: int, evaluation: int) -> None:
    """Tennis in folders of pictures, each sequence of so many frames, with metadata that must not be opened."""
    for split, number, seed in _places():
        frames = training if split == "train" else evaluation
        place = folder / split / f"{number:05d}"
        write_pictures(place, draw_rally(seed, frames=frames, height=96, width=256))
        (place / "metadata.pkl").write_bytes(b"cos\nsystem\n.")


def write_match(folder: Path, training: int, evaluation: int) -> None:
    """A film of several rallies, each of so many frames and some around them, with its annotations and splits."""
    top, left = BLACK_BARS
    height, width = 96, 256
    rallies, rows, parts = [], [], []
    for split, _, seed in _places():
        frames = training if split == "train" else evaluation
        begin = sum(map(len, rallies)) + 3
        rally = draw_rally(seed, frames=frames + 6, height=height, width=width)
        rallies.append(np.pad(rally, ((0, 0), (top, 0), (left, left), (0, 0))))
        rows.append(("match_00000.mp4", begin, begin + frames - 1, top, left, top + height, left + width))
        parts.append((seed, {"val": "validation"}.get(split, split)))
    write_film(folder / "match_00000.mp4", np.concatenate(rallies))
    lines = [f"{number}," + ",".join(map(str, row)) for number, row in enumerate(rows)]
    (folder / "annotations.csv").write_text("\n".join(["," + ",".join(COLUMNS), *lines, ""]))
    (folder / "splits.csv").write_text("\n".join(["sequence,split", *(f"{n},{split}" for n, split in parts), ""]))


def write_pushes(folder: Path, *, frames: int) -> None:
    """BAIR in folders of pictures, each clip of so many frames."""
    for split, number, seed in _places():
        write_pictures(folder / split / f"{number:05d}", draw_push(seed, frames=frames, size=256).video)


def write_mug_tree(folder: Path, *, subjects: int, takes: int, frames: int) -> None:
    """MUG's own tree, `subject/emotion/take/img_0000.jpg`, with takes to leave out: neutral, of a session, short."""
    for subject in range(subjects):
        recordings = [
            (emotion, f"take{take:03d}", frames, 1 - 0.2 * take) for emotion in EMOTIONS for take in range(takes)
        ]
        if subject == 0:
            recordings += [("neutral", "take000", 2, 1.0), ("session0", "take000", 2, 1.0)]
            recordings += [(EMOTIONS[0], f"take{takes:03d}", 2, 1.0)]
        for emotion, take, length, strength in recordings:
            place = folder / f"{subject + 1:03d}" / emotion / take
            place.mkdir(parents=True)
            drawn = emotion if emotion in EMOTIONS else "neutral"
            video = draw_sequence(subject, drawn, frames=length, size=64, strength=strength)
            for number, frame in enumerate(video):
                Image.fromarray(frame).save(place / f"img_{number:04d}.jpg", quality=92)


def write_mug_npz(folder: Path, *, subjects: int, takes: int, frames: int) -> None:
    """The aligned MUG: an object array of sequences (t, 112, 112, 3); beside it labels (n, 2), subject and emotion."""
    labels = np.array([(s, e) for s in range(subjects) for e in range(len(EMOTIONS)) for _ in range(takes)])
    sequences = np.empty(len(labels), dtype=object)
    for index, (subject, emotion) in enumerate(labels):
        strength = 1 - 0.2 * (index % takes)
        sequences[index] = draw_sequence(subject, EMOTIONS[emotion], frames=frames, size=112, strength=strength)
    np.savez_compressed(folder / "MUG_0-255_OF_112x112_color.npz", sequences)
    np.savez(folder / "labels.npz", labels)


def write_softmotion(folder: Path) -> None:
    """BAIR's original TFRecords, two files for training and one for the test."""
    files = {"train/traj_0_to_2": range(3), "train/traj_3_to_5": range(3, 6), "test/traj_0_to_1": range(6, 8)}
    for name, seeds in files.items():
        path = folder / f"{name}.tfrecords"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(record_bytes(example_bytes(_trajectory(seed))) for seed in seeds))


def record_bytes(data: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def example_bytes(features: Mapping[str, bytes | np.ndarray]) -> bytes:
    """A tf.train.Example; bytes become a list of one, arrays lists of float32 or of int64."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _delimited(1, _delimited(1, value))
        elif value.dtype.kind == "f":
            feature = _delimited(2, _delimited(1, value.astype("<f4").tobytes()))
        else:
            packed = b"".join(_varint(number % (1 << 64)) for number in value.tolist())
            feature = _delimited(3, _delimited(1, packed))
        entries += _delimited(1, _delimited(1, name.encode()) + _delimited(2, feature))
    return _delimited(1, entries)


def _trajectory(seed: int) -> dict[str, bytes | np.ndarray]:
    push = draw_push(seed, frames=FRAMES, size=SIDE)
    features: dict[str, bytes | np.ndarray] = {}
    for frame in range(FRAMES):
        features[IMAGE.format(frame)] = push.video[frame].tobytes()
        features[IMAGE.format(frame).replace("aux1", "main")] = push.video[frame, :, ::-1].tobytes()
        features[POSITION.format(frame)] = push.position[frame]
        features[ACTION.format(frame)] = push.action[frame]
    return features


def _delimited(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _places() -> Iterator[tuple[str, int, int]]:
    """Split, number within it, and a seed, for every drawn video."""
    seed = 0
    for split, count in (("train", TRAINING), ("val", EVALUATION), ("test", EVALUATION)):
        for number in range(count):
            yield split, number, seed
            seed += 1

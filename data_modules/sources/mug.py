"""The two forms in which MUG is distributed: the database's own folders, and sequences aligned by its users."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_modules.common.errors import DataError
from data_modules.sources.frames import frame_paths, read_clip, resize, subfolders
from data_modules.sources.npz import npz_headers, read_array

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
Read = tuple[int, str, np.ndarray]
"""Index and name of a sequence, and its frames (t, height, width, 3) uint8."""


class MugSequences(ABC):
    """The sequences of the six emotions, in a fixed order.

    Args:
        separate: whether reading some sequences costs nothing for the others.
        subjects: names.
        identity: (n,) index of each sequence's subject.
        action: (n,) index into EMOTIONS.
        left_out: how many other sequences there are, by reason.
    """

    separate: bool
    subjects: list[str]
    identity: np.ndarray
    action: np.ndarray
    left_out: Counter[str]

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the files do: it is made of their names and sizes, because reading them would take minutes."""

    @abstractmethod
    def read(self, chosen: Sequence[int], *, every: int, height: int, width: int) -> Iterator[Read]:
        """Each of the `chosen` sequences, with every `every`-th of its frames."""


class MugTree(MugSequences):
    """`FOLDER/SUBJECT/EMOTION/TAKE/*.jpg`. Other emotions, and takes of a session, are left out."""

    separate = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_out: Counter[str] = Counter()
        found = [
            (subject.name, EMOTIONS.index(emotion.name), take)
            for subject in subfolders(folder)
            for emotion in subfolders(subject)
            for take in self._takes(emotion)
        ]
        self.subjects = list(dict.fromkeys(subject for subject, _, _ in found))
        self.identity = np.array([self.subjects.index(subject) for subject, _, _ in found], dtype=np.int64)
        self.action = np.array([action for _, action, _ in found], dtype=np.int64)
        self._found = [take for _, _, take in found]

    def _takes(self, emotion: Path) -> Iterator[list[Path]]:
        for folder in subfolders(emotion):
            frames = frame_paths(folder)
            if emotion.name not in EMOTIONS:
                self.left_out[emotion.name] += 1
            elif folder.name.startswith("session"):
                self.left_out["session"] += 1
            elif not frames:
                self.left_out["without pictures"] += 1
            else:
                yield frames

    def fingerprint(self) -> str:
        pictures = (path for take in self._found for path in take)
        return _digest(f"{path.relative_to(self.folder).as_posix()} {path.stat().st_size}" for path in pictures)

    def read(self, chosen: Sequence[int], *, every: int, height: int, width: int) -> Iterator[Read]:
        for index in chosen:
            take = self._found[index]
            name = take[0].parent.relative_to(self.folder).as_posix()
            yield index, name, read_clip(take[::every], height, width)


class MugArchive(MugSequences):
    """An object array of sequences (t, h, w, 3) uint8 and an array (n, 2) of their subjects and actions, in npz files.

    Args: codes: what the actions 0, 1, ... mean; those that are not one of the six emotions are left out.
    Raises: DataError where the folder's npz files do not hold one of each, or these do not match each other or `codes`.
    """

    separate = False

    def __init__(self, folder: Path, codes: tuple[str, ...]) -> None:
        self.folder = folder
        headers = {
            (path, name): header for path in sorted(folder.glob("*.npz")) for name, header in npz_headers(path).items()
        }
        sequences = [key for key, header in headers.items() if header.dtype.hasobject]
        labels = [key for key, header in headers.items() if header.dtype.kind in "iu" and header.shape[1:] == (2,)]
        if not (len(sequences) == len(labels) == 1 and headers[sequences[0]].shape == headers[labels[0]].shape[:1]):
            held = ", ".join(f"{path.name}[{name}] {h.shape} {h.dtype}" for (path, name), h in headers.items())
            raise DataError(
                f"{folder}: its npz files hold {held}. Expected one object array (n,) of sequences (t, h, w, 3) uint8"
                " and one integer array (n, 2) of their subjects and actions, in one file or two."
            )
        self._sequences = sequences[0]
        table = read_array(*labels[0])
        self._check_codes(labels[0][0], table[:, 1], codes)
        meanings = np.array([EMOTIONS.index(code) if code in EMOTIONS else -1 for code in codes])[table[:, 1]]
        self.left_out: Counter[str] = Counter([codes[code] for code in table[meanings < 0, 1].tolist()])
        self._kept = np.flatnonzero(meanings >= 0)
        self.action = meanings[self._kept]
        subjects, self.identity = np.unique(table[self._kept, 0], return_inverse=True)
        self.subjects = [str(subject) for subject in subjects]

    @staticmethod
    def _check_codes(path: Path, found: np.ndarray, codes: tuple[str, ...]) -> None:
        if found.min(initial=0) < 0 or found.max(initial=0) >= len(codes):
            raise DataError(
                f"{path}: its action labels go from {found.min()} to {found.max()}, and {len(codes)} codes are known:"
                f" {', '.join(codes)}. Say with --data.action_codes what 0, 1, ... mean in this file; sequences of"
                f" other names than {', '.join(EMOTIONS)} are left out."
            )

    def fingerprint(self) -> str:
        return _digest(f"{path.name} {path.stat().st_size}" for path in sorted(self.folder.glob("*.npz")))

    def read(self, chosen: Sequence[int], *, every: int, height: int, width: int) -> Iterator[Read]:
        path, name = self._sequences
        sequences = read_array(path, name)
        for index in chosen:
            row = self._kept[index]
            video = sequences[row]
            is_array = isinstance(video, np.ndarray)
            if not (is_array and video.dtype == np.uint8 and video.ndim == 4 and video.shape[3] == 3):
                found = f"{video.shape} {video.dtype}" if is_array else type(video).__name__
                raise DataError(
                    f"{path}: sequence {row} is {found}; expected (t, h, w, 3) uint8. Write the file again."
                )
            yield index, f"{path.name}[{row}]", resize(video[::every], height, width)


def find_sequences(folder: Path, *, layout: str, codes: tuple[str, ...]) -> MugSequences | None:
    """The sequences in `folder`; None where there are none of that layout ("tree", "npz", or "auto" for either).

    Raises: DataError where there are both, or where they are malformed.
    """
    if not folder.is_dir():
        return None
    archive = MugArchive(folder, codes) if layout in ("auto", "npz") and any(folder.glob("*.npz")) else None
    tree = MugTree(folder) if layout in ("auto", "tree") else None
    if tree is None or not len(tree.identity):
        return archive
    if archive is not None:
        raise DataError(f"{folder}: holds MUG twice, as folders and as npz files. Say which with --data.layout.")
    return tree


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()

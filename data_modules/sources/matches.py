"""Parts of match videos that an annotation file lists: the film, the first and last frame, and a box in the frames.

The annotations of Playable Video Generation are two CSV files, `annotations.csv` with the columns original_filename,
begin_frame, end_frame (inclusive), top, left, bottom, right, and `splits.csv` with the columns sequence, split. A
sequence's number is its position after sorting by file name and first frame, not its position in the file.
[Menapace et al., Playable Video Generation, CVPR 2021; github.com/willi-menapace/PlayableVideoGeneration]
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from data_modules.common.errors import DataError, MissingSourceError
from data_modules.sources.frames import fit
from data_modules.sources.video import open_film

COLUMNS = ("original_filename", "begin_frame", "end_frame", "top", "left", "bottom", "right")
MAX_BYTES = 1 << 24
MAX_FRAMES = 3000
"""A sequence that claims more frames is refused; the longest of the published ones has 1116."""
PART_SECONDS = 3600
PART = re.compile(r"(.+)_([0-9]{5})(\.[^.]+)")
"""A film in the annotations is one hour of a match: MATCH_00000.mp4 is the first, MATCH_00001.mp4 the second."""


@dataclass(frozen=True)
class Sequence:
    """Frames `begin` to `end`, inclusive, of a film, cut to the `box` (left, top, right, bottom) in pixels."""

    film: str
    begin: int
    end: int
    box: tuple[int, int, int, int]
    split: str | None

    @property
    def name(self) -> str:
        return f"{self.film}[{self.begin}:{self.end + 1}]"


def read_annotations(path: Path) -> list[Sequence]:
    """The sequences in a CSV file with `COLUMNS`, and perhaps `split`, sorted by film and first frame.

    Raises: DataError naming the file, the line, what was found and what was expected.
    """
    sequences = [_sequence(path, line, row) for line, row in _rows(path, COLUMNS)]
    return sorted(sequences, key=lambda sequence: (sequence.film, sequence.begin))


def read_splits(path: Path) -> dict[int, str]:
    """The split of each sequence, from a CSV file with the columns sequence and split.

    Raises: DataError as `read_annotations`.
    """
    return {_number(path, line, row, "sequence"): row["split"] for line, row in _rows(path, ("sequence", "split"))}


def read_sequences(
    folder: Path,
    sequences: Iterable[Sequence],
    *,
    every: int,
    height: int,
    width: int,
    part_seconds: float = PART_SECONDS,
) -> Iterator[tuple[Sequence, np.ndarray]]:
    """Each sequence with every `every`-th of its frames, (t, height, width, 3) uint8: their boxes, stretched.

    Where the film `MATCH_00001.mp4` is not in `folder`, but the whole `MATCH.mp4` is, its second hour is taken.

    Raises: DataError where a film is missing, damaged, or ends before a sequence does.
    """
    for name, group in groupby(sequences, key=lambda sequence: sequence.film):
        path, part = find_film(folder, name)
        with open_film(path) as film:
            start = film.frame_at(part * part_seconds) if part else 0
            for sequence in group:
                pictures = film.frames(start + sequence.begin, start + sequence.end + 1, every)
                frames = [np.asarray(_cut(path, picture, sequence, height, width)) for picture in pictures]
                if len(frames) != (sequence.end - sequence.begin) // every + 1:
                    raise DataError(
                        f"{path}: ends before frame {start + sequence.end}, to which the annotations reach. Is it the"
                        " same video, and all of it?"
                    )
                yield sequence, np.stack(frames)


def find_film(folder: Path, name: str) -> tuple[Path, int]:
    """The film of that name and 0; or the whole match of which it is a part, and the part's number.

    Raises: MissingSourceError where neither is there.
    """
    path = folder / name
    if path.is_file():
        return path, 0
    part = PART.fullmatch(name)
    whole = folder / f"{part[1]}{part[3]}" if part else None
    if part and whole and whole.is_file():
        return whole, int(part[2])
    wanted = f"{path} or {whole}" if whole else f"{path}"
    raise MissingSourceError(f"The annotations name {wanted}, which is not there. Get the video, or say where it is.")


def _cut(path: Path, picture: Image.Image, sequence: Sequence, height: int, width: int) -> Image.Image:
    _, _, right, bottom = sequence.box
    if right > picture.width or bottom > picture.height:
        raise DataError(
            f"{path}: has frames of {picture.width}x{picture.height}, and the annotations' boxes reach to"
            f" {right}x{bottom}. Get the video at the size that was annotated (the published ones at 1920x1080)."
        )
    return fit(picture.crop(sequence.box), height, width, "stretch")


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: has more than {MAX_BYTES} bytes; expected a list of sequences.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise DataError(f"{path}: lacks the columns {', '.join(missing)}; it has {found[:200]}. Is it another?")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}). Get the file again.") from error


def _sequence(path: Path, line: int, row: dict[str, str]) -> Sequence:
    begin, end, top, left, bottom, right = (_number(path, line, row, column) for column in COLUMNS[1:])
    film = row["original_filename"]
    if Path(film).name != film or film in ("", ".", ".."):
        raise DataError(
            f"{path}, line {line}: {film[:80]!r} is not a file name. Give the name alone, without its folder."
        )
    if not (begin <= end < begin + MAX_FRAMES and top < bottom and left < right):
        raise DataError(
            f"{path}, line {line}: frames {begin} to {end}, box from ({left}, {top}) to ({right}, {bottom}); expected"
            f" at most {MAX_FRAMES} frames, the last not before the first, and a box that is not empty."
        )
    return Sequence(film, begin, end, (left, top, right, bottom), row.get("split") or None)


def _number(path: Path, line: int, row: dict[str, str], column: str) -> int:
    text = row[column].strip()
    if not re.fullmatch("[0-9]{1,9}", text):
        raise DataError(f"{path}, line {line}: {column} is {text[:80]!r}; expected a whole number.")
    return int(text)

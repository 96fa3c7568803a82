"""Videos as people keep them: films, pictures, and folders of numbered pictures, anywhere below one folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.sources import frames, video
from data_modules.sources.frames import (
    Region,
    Shape,
    cut,
    fit,
    frame_paths,
    natural_key,
    read_animation,
    read_clip,
    read_picture,
)
from data_modules.sources.video import open_film


def decode_frames(path: Path, *, first: int = 0, stop: int | None = None, every: int = 1) -> Iterator[Image.Image]:
    """Frames `first`, `first + every`, ... before `stop` of a film, GIF, WebP, picture or folder of pictures, in RGB.

    Raises: DataError naming the file where it is missing, damaged or of another kind.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from map(read_picture, _listed(path)[first:stop:every])
    elif suffix in frames.SUFFIXES:
        yield from map(read_picture, [path][first:stop:every])
    elif suffix == frames.ANIMATION:
        yield from islice(read_animation(path), first, stop, every)
    elif suffix in video.SUFFIXES or not path.exists():
        with open_film(path) as film:
            yield from film.frames(first, stop, every)
    else:
        known = ", ".join(sorted(video.SUFFIXES | frames.SUFFIXES | {frames.ANIMATION}))
        raise DataError(
            f"{path}: is neither a picture nor a video by its name; expected one of {known}, or a folder of pictures"
        )


@dataclass(frozen=True)
class Video:
    """A film, or a folder of pictures, or a part of one.

    Args:
        path: of the film, or of the folder.
        name: the path below the collection's folder.
        mark: changes when the content does.
        pictures: how many there are in the folder; None for a film.
        first, stop: which frames are taken: from `first` to before `stop`; all by default.
        region: (left, top, width, height) in pixels, the part of each frame that is taken; all of it by default.
    """

    path: Path
    name: str
    mark: str
    pictures: int | None
    first: int = 0
    stop: int | None = None
    region: Region | None = None

    @property
    def known_frames(self) -> int | None:
        """How many frames are taken, if that is known without opening a film."""
        stop = self.pictures if self.stop is None else self.stop
        return None if stop is None else stop - self.first

    def count_frames(self) -> int:
        """How many frames the whole film or folder has.  Raises: DataError where a film is damaged."""
        if self.pictures is not None:
            return self.pictures
        with open_film(self.path) as film:
            return film.count_frames()

    def pieces(
        self, *, height: int, width: int, shape: Shape, every: int, longest: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Every `every`-th frame, in pieces (t, height, width, 3) uint8 of at most `longest`, each with its name.

        Raises: DataError naming the file that is missing or damaged; pieces before it have been yielded.
        """
        read = self._from_pictures if self.path.is_dir() else self._from_film
        start = self.first
        for part in read(height, width, shape, every, longest):
            stop = start + len(part) * every
            yield f"{self.name}[{start}:{stop}]", part
            start = stop

    def _from_film(self, height: int, width: int, shape: Shape, every: int, longest: int) -> Iterator[np.ndarray]:
        with open_film(self.path) as film:
            shown = film.frames(self.first, self.stop, every)
            pictures = (np.asarray(fit(cut(picture, self.region), height, width, shape)) for picture in shown)
            while part := list(islice(pictures, longest)):
                yield np.stack(part)

    def _from_pictures(self, height: int, width: int, shape: Shape, every: int, longest: int) -> Iterator[np.ndarray]:
        paths = _listed(self.path)
        if len(paths) != self.pictures:
            raise DataError(
                f"{self.path}: holds {len(paths)} pictures, before it held {self.pictures}. Prepare the dataset again."
            )
        paths = paths[self.first : self.stop : every]
        for start in range(0, len(paths), longest):
            yield read_clip(paths[start : start + longest], height, width, shape, self.region)


def find_videos(folder: Path, left_out: Counter[str] | None = None) -> list[Video]:
    """All videos below `folder`, in natural order of their names; the film itself where `folder` is one.

    A folder that holds pictures and no films is one video. Links are followed, wherever they lead; what is reached
    twice counts once, so that no video is in two splits. Hidden files and folders are left out.

    Args: left_out: counts by reason what is not a video.
    Raises: DataError where a folder cannot be listed.
    """
    left_out = Counter() if left_out is None else left_out
    if folder.is_file() and folder.suffix.lower() in video.SUFFIXES:
        return [Video(path=folder, name=folder.name, mark=f"{_film_stat(folder).st_size}", pictures=None)]
    found: list[tuple[list[object], Video]] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        if _seen_before(_stat(current), seen):
            left_out["folders reached twice"] += 1
            continue
        folders, films, pictures = _sorted_out(current, left_out)
        waiting += folders
        if films and pictures:
            left_out["pictures beside films"] += len(pictures)
        for path in films:
            about = _film_stat(path)
            if _seen_before(about, seen):
                left_out["films reached twice"] += 1
            else:
                found.append(_named(folder, path, mark=f"{about.st_size}", pictures=None))
        if pictures and not films:
            # The sizes of two of a folder's pictures stand for all, because a published dataset has a million.
            sizes = [_stat(current / name).st_size for name in (min(pictures), max(pictures))]
            mark = f"{len(pictures)} {sizes[0]} {sizes[1]}"
            found.append(_named(folder, current, mark=mark, pictures=len(pictures)))
    return [item for _, item in sorted(found, key=lambda entry: entry[0])]


def fingerprint(videos: Sequence[Video]) -> str:
    """SHA-256 of the names and marks of `videos`; a checksum of their content could take hours."""
    digest = hashlib.sha256()
    for item in videos:
        digest.update(os.fsencode(f"{item.name} {item.mark}\n"))
    return digest.hexdigest()


def _sorted_out(folder: Path, left_out: Counter[str]) -> tuple[list[Path], list[Path], list[str]]:
    """The folders, the films and the names of the pictures in `folder`."""
    folders: list[Path] = []
    films: list[Path] = []
    pictures: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (there may be a million)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(folder / entry.name)
                elif suffix in video.SUFFIXES:
                    films.append(folder / entry.name)
                elif suffix in frames.SUFFIXES:
                    pictures.append(entry.name)
                else:
                    left_out["files of other kinds"] += 1
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}). Make it readable, or move it away.") from error
    return folders, sorted(films), pictures


def _named(folder: Path, path: Path, *, mark: str, pictures: int | None) -> tuple[list[object], Video]:
    name = path.relative_to(folder)
    key: list[object] = [natural_key(Path(part)) for part in name.parts]
    return key, Video(path=path, name=name.as_posix(), mark=mark, pictures=pictures)


def _seen_before(about: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    known = (about.st_dev, about.st_ino) in seen
    seen.add((about.st_dev, about.st_ino))
    return known


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be found ({error.strerror}). Replace it, or remove the link.") from error


def _film_stat(path: Path) -> os.stat_result:
    about = _stat(path)
    if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for ever
        raise DataError(f"{path}: is not a regular file. Take it away.")
    return about


def _listed(folder: Path) -> list[Path]:
    try:
        return frame_paths(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}). Make it readable.") from error

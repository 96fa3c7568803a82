"""Folders of videos: everything found once, in natural order, whatever it is called and wherever links lead."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.drawings.tiny_video import write_film, write_pictures
from data_modules.sources.collection import find_videos, fingerprint


def shades(*values: int) -> np.ndarray:
    return np.stack([np.full((8, 12, 3), value, dtype=np.uint8) for value in values])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "videos" / "sub").mkdir(parents=True)
    write_film(tmp_path / "videos" / "10.gif", shades(0, 10, 20, 30, 40))
    write_film(tmp_path / "videos" / "9.gif", shades(50))
    write_pictures(tmp_path / "videos" / "sub" / "Bücher ü", shades(0, 1, 2, 3, 4, 5, 6))
    return tmp_path / "videos"


def names(folder: Path, left_out: Counter[str] | None = None) -> list[str]:
    return [video.name for video in find_videos(folder, left_out)]


def test_films_and_folders_of_pictures_at_any_depth(folder: Path) -> None:
    (folder / "notes.txt").touch()
    (folder / ".hidden").mkdir()
    write_film(folder / ".hidden" / "a.gif", shades(1))
    (folder / "._9.gif").touch()
    left_out: Counter[str] = Counter()
    assert names(folder, left_out) == ["9.gif", "10.gif", "sub/Bücher ü"]
    assert left_out == {"files of other kinds": 1}
    assert [video.pictures for video in find_videos(folder)] == [None, None, 7]


def test_pictures_beside_films_are_no_video(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "poster.jpg")
    left_out: Counter[str] = Counter()
    assert names(folder, left_out) == ["9.gif", "10.gif", "sub/Bücher ü"]
    assert left_out == {"pictures beside films": 1}


def test_links_are_followed_and_nothing_counts_twice(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_film(elsewhere / "far.gif", shades(1))
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "same.gif").symlink_to(folder / "9.gif")
    (folder / "sub" / "hard.gif").hardlink_to(folder / "9.gif")
    left_out: Counter[str] = Counter()
    found = names(folder, left_out)
    assert len(found) == 4
    assert {"10.gif", "sub/Bücher ü"} <= set(found)
    assert len({"9.gif", "sub/same.gif", "sub/hard.gif"} & set(found)) == 1
    assert len({"linked/far.gif", "again/far.gif"} & set(found)) == 1
    assert left_out == {"folders reached twice": 2, "films reached twice": 2}


def test_what_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "broken.mp4").symlink_to(folder / "nowhere.mp4")
    with pytest.raises(DataError, match=r"broken\.mp4: cannot be found"):
        find_videos(folder)
    (folder / "broken.mp4").unlink()
    os.mkfifo(folder / "pipe.mp4")
    with pytest.raises(DataError, match=r"pipe\.mp4: is not a regular file"):
        find_videos(folder)
    with pytest.raises(DataError, match="nowhere: cannot be found"):
        find_videos(folder / "nowhere")


def test_pieces_are_bounded_and_cover_all_frames(folder: Path) -> None:
    for video, expected in zip(find_videos(folder)[1:], ([0, 20, 40], [0, 2, 4, 6]), strict=True):
        pieces = list(video.pieces(height=8, width=12, shape="crop", every=2, longest=2))
        assert [len(part) for _, part in pieces] == [2] * (len(expected) // 2) + [1] * (len(expected) % 2)
        np.testing.assert_array_equal(np.concatenate([part for _, part in pieces])[:, 0, 0, 0], expected)
        assert pieces[0][0] == f"{video.name}[0:4]"
        assert pieces[1][0].startswith(f"{video.name}[4:")


def test_shapes(tmp_path: Path) -> None:
    wide = np.zeros((1, 8, 24, 3), dtype=np.uint8)
    wide[:, :, 8:16] = 240
    write_pictures(tmp_path / "a", wide)
    (video,) = find_videos(tmp_path)

    def columns(shape: str) -> np.ndarray:
        ((_, part),) = video.pieces(height=8, width=8, shape=shape, every=1, longest=9)  # pyright: ignore[reportArgumentType]
        return part[0, :, :, 0]

    assert (columns("crop") == 240).all()
    assert (columns("stretch")[:, [0, 1, -2, -1]] == 0).all()
    assert (columns("stretch")[:, [3, 4]] == 240).all()
    padded = columns("pad")
    assert (padded[[0, 1, -2, -1]] == 0).all()
    assert padded[4, 4] == 240


def test_the_fingerprint_follows_names_and_sizes(folder: Path) -> None:
    before = fingerprint(find_videos(folder))
    assert fingerprint(find_videos(folder)) == before
    picture = folder / "sub" / "Bücher ü" / "00003.png"
    content = picture.read_bytes()
    picture.unlink()
    assert fingerprint(find_videos(folder)) != before
    picture.write_bytes(content)
    assert fingerprint(find_videos(folder)) == before
    (folder / "9.gif").rename(folder / "8.gif")
    assert fingerprint(find_videos(folder)) != before


def test_frames_that_vanish_in_mid_read_are_named(folder: Path) -> None:
    *_, pictures = find_videos(folder)
    pieces = pictures.pieces(height=8, width=12, shape="crop", every=1, longest=3)
    next(pieces)
    (folder / "sub" / "Bücher ü" / "00004.png").unlink()
    with pytest.raises(DataError, match=r"00004\.png"):
        next(pieces)


def test_a_film_or_folder_that_vanishes_is_named(folder: Path) -> None:
    for video in find_videos(folder):
        video.path.rename(folder / f"gone {video.path.name}")
        with pytest.raises(DataError, match=video.path.name):
            next(video.pieces(height=8, width=12, shape="crop", every=1, longest=3))

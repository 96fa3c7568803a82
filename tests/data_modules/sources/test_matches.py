"""Sequences from match videos: the published numbering, exact frames and boxes, and errors that name file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.common.errors import DataError
from data_modules.drawings.tiny_video import write_film
from data_modules.sources.matches import COLUMNS, Sequence, read_annotations, read_sequences, read_splits
from tests.data_modules.sources import expect_only

HEADER = "," + ",".join(COLUMNS)
ROWS = ["0,b.mp4,7,9,2,4,10,16", "1,a.mp4,40,45,0,0,8,8", "2,a.mp4,3,3,0,0,8,8"]


def annotated(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "annotations.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def counting(frames: int, height: int = 16, width: int = 24) -> np.ndarray:
    """Frame t is 4t bright, in a box 6 pixels from the left and 2 from the top; black around it."""
    video = np.zeros((frames, height, width, 3), dtype=np.uint8)
    video[:, 2:10, 6:18] = 4 * np.arange(frames)[:, None, None, None]
    return video


def read(folder: Path, *sequences: Sequence, every: int = 1, **options: float) -> list[np.ndarray]:
    return [video for _, video in read_sequences(folder, sequences, every=every, height=4, width=6, **options)]


def test_sequences_are_numbered_by_film_and_first_frame(tmp_path: Path) -> None:
    sequences = read_annotations(annotated(tmp_path, *ROWS))
    assert [(sequence.film, sequence.begin, sequence.end) for sequence in sequences] == [
        ("a.mp4", 3, 3),
        ("a.mp4", 40, 45),
        ("b.mp4", 7, 9),
    ]
    assert sequences[2].box == (4, 2, 16, 10)
    assert sequences[2].name == "b.mp4[7:10]"
    (tmp_path / "splits.csv").write_text("sequence,split\n2,train\n0,validation\n")
    assert read_splits(tmp_path / "splits.csv") == {2: "train", 0: "validation"}


def test_frames_and_boxes_are_exact(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", counting(60))
    box = (6, 2, 18, 10)
    first, second, third = read(
        tmp_path, *(Sequence("a.mp4", begin, end, box, None) for begin, end in ((3, 7), (5, 5), (50, 59)))
    )
    for video, begin, end in ((first, 3, 7), (second, 5, 5), (third, 50, 59)):
        assert video.shape == (end - begin + 1, 4, 6, 3)
        np.testing.assert_allclose(video.mean(axis=(1, 2, 3)), 4 * np.arange(begin, end + 1), atol=6)
    (sparse,) = read(tmp_path, Sequence("a.mp4", 10, 21, box, None), every=5)
    np.testing.assert_allclose(sparse.mean(axis=(1, 2, 3)), [40, 60, 80], atol=6)


def test_parts_are_found_in_the_whole_match(tmp_path: Path) -> None:
    write_film(tmp_path / "spiel.mp4", counting(60))  # 25 frames a second
    sequence = Sequence("spiel_00001.mp4", 3, 6, (6, 2, 18, 10), None)
    (video,) = read(tmp_path, sequence, part_seconds=1.0)
    np.testing.assert_allclose(video.mean(axis=(1, 2, 3)), 4 * np.arange(28, 32), atol=6)
    write_film(tmp_path / "spiel_00001.mp4", counting(10))
    (video,) = read(tmp_path, sequence, part_seconds=1.0)
    np.testing.assert_allclose(video.mean(axis=(1, 2, 3)), 4 * np.arange(3, 7), atol=6)


def test_films_that_do_not_fit_the_annotations_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a_00002\.mp4 or .*/a\.mp4, which is not there"):
        read(tmp_path, Sequence("a_00002.mp4", 0, 1, (0, 0, 8, 8), None))
    write_film(tmp_path / "a.mp4", counting(20))
    with pytest.raises(DataError, match=r"a\.mp4: ends before frame 20,"):
        read(tmp_path, Sequence("a.mp4", 15, 20, (0, 0, 8, 8), None))
    with pytest.raises(DataError, match=r"a\.mp4: ends before frame 901"):
        read(tmp_path, Sequence("a.mp4", 900, 901, (0, 0, 8, 8), None))
    with pytest.raises(DataError, match=r"a\.mp4: has frames of 24x16, .* reach to 25x16"):
        read(tmp_path, Sequence("a.mp4", 0, 1, (0, 0, 25, 16), None))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("0,../a.mp4,1,2,0,0,8,8", r"line 2: '\.\./a\.mp4' is not a file name"),
        ("0,/etc/passwd,1,2,0,0,8,8", "is not a file name"),
        ("0,,1,2,0,0,8,8", "is not a file name"),
        ("0,..,1,2,0,0,8,8", "is not a file name"),
        ("0,a.mp4,x,2,0,0,8,8", "line 2: begin_frame is 'x'; expected a whole number"),
        ("0,a.mp4,1,-2,0,0,8,8", "end_frame is '-2'"),
        ("0,a.mp4,1,9999999999,0,0,8,8", "end_frame is '9999999999'"),
        ("0,a.mp4,1", "end_frame is ''"),
        ("0,a.mp4,5,4,0,0,8,8", "frames 5 to 4"),
        ("0,a.mp4,0,3000,0,0,8,8", "at most 3000 frames"),
        ("0,a.mp4,1,2,8,0,8,8", "a box that is not empty"),
        ("0,a.mp4,1,2,0,9,8,8", "a box that is not empty"),
    ],
)
def test_rows_that_make_no_sense_are_named_with_their_line(tmp_path: Path, row: str, complaint: str) -> None:
    with pytest.raises(DataError, match=rf"annotations\.csv, {complaint}|annotations\.csv, line 2: .*{complaint}"):
        read_annotations(annotated(tmp_path, row))


def test_files_of_another_form_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"lacks the columns top, left, bottom, right; it has original_filename, "):
        read_annotations(annotated(tmp_path, header="original_filename,begin_frame,end_frame"))
    (tmp_path / "annotations.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_annotations(tmp_path / "annotations.csv")
    (tmp_path / "annotations.csv").write_bytes(b"")
    with pytest.raises(DataError, match="it has none"):
        read_annotations(tmp_path / "annotations.csv")
    with pytest.raises(DataError, match=r"nowhere\.csv: cannot be read"):
        read_splits(tmp_path / "nowhere.csv")
    monkeypatch.setattr("data_modules.sources.matches.MAX_BYTES", 10)
    with pytest.raises(DataError, match="more than 10 bytes"):
        read_annotations(annotated(tmp_path, *ROWS))


@given(seed=st.integers(0, 2**32), flips=st.integers(1, 12), end=st.integers(0, 200))
@settings(max_examples=120, deadline=None)
def test_a_damaged_list_is_an_error_by_name_or_a_list(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int, end: int
) -> None:
    path = annotated(tmp_path_factory.mktemp("csv"), *ROWS)
    damaged = bytearray(path.read_bytes()[:end]) or bytearray(b"\n")
    generator = np.random.default_rng(seed)
    for position in generator.integers(len(damaged), size=flips):
        damaged[position] ^= 1 << generator.integers(8)
    path.write_bytes(damaged)
    with expect_only(DataError, match=path.name):
        read_annotations(path)

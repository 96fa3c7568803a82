"""Films: every kind is decoded frame by frame, entered anywhere, and refused by name where anything is amiss."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.drawings.scenes import draw_rally
from data_modules.drawings.tiny_video import write_film
from data_modules.sources.video import MAX_PIXELS, open_film
from tests.data_modules.sources import expect_only

KINDS = ("mp4", "webm", "mkv", "avi", "gif")
VIDEO = draw_rally(0, frames=20, height=48, width=64)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    paths = {kind: folder / f"Spiel_ä.{kind}" for kind in KINDS}
    for path in paths.values():
        write_film(path, VIDEO)
    return paths


def decoded(path: Path, *which: int | None) -> np.ndarray:
    with open_film(path) as film:
        return np.stack([np.asarray(picture) for picture in film.frames(*which)])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_decoded_in_order(films: dict[str, Path], kind: str) -> None:
    read = decoded(films[kind])
    assert read.shape == VIDEO.shape
    distances = np.abs(read[:, None].astype(int) - VIDEO[None]).mean(axis=(2, 3, 4))
    assert distances.diagonal().max() < 6
    np.testing.assert_array_equal(distances.argmin(axis=1), np.arange(len(VIDEO)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_the_part_of_the_whole(films: dict[str, Path], kind: str) -> None:
    whole = decoded(films[kind])
    np.testing.assert_array_equal(decoded(films[kind], 7, 16, 4), whole[7:16:4])
    np.testing.assert_array_equal(decoded(films[kind], 19), whole[19:])
    with open_film(films[kind]) as film:
        assert not list(film.frames(20))
        assert len(list(film.frames(3, 5))) == 2
        assert len(list(film.frames())) == 20  # and back to the start


def test_a_film_of_many_key_frames_is_entered_at_the_right_one(tmp_path: Path) -> None:
    import av

    shades = np.arange(60) * 4
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "7", "bf": "3", "crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv444p"
        for shade in shades:
            grey = np.full((16, 16, 3), shade, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    with open_film(tmp_path / "a.mp4") as film:
        assert film.frame_at(0) == 0
        assert film.frame_at(1.0) == 25
        for first in (0, 1, 6, 7, 8, 33, 59, 13):
            picture = next(film.frames(first))
            assert abs(int(np.asarray(picture)[8, 8, 0]) - shades[first]) <= 2


def test_films_of_telephones_are_turned_upright(films: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(films["mp4"].read_bytes())
    # The matrix of the track's header; here (x, y) -> (-y, x): to be shown turned clockwise.
    matrix = content.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", content, matrix) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, matrix, 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content)
    np.testing.assert_array_equal(
        decoded(tmp_path / "turned.mp4", 0, 3), np.rot90(decoded(films["mp4"], 0, 3), k=-1, axes=(1, 2))
    )


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (16, 16)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.paste((255, 0, 0, 255), (4 * number, 4, 4 * number + 4, 8))
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], disposal=2)
    expected = np.full((3, 16, 16, 3), 255)
    for number in range(3):
        expected[number, 4:8, 4 * number : 4 * number + 4, 1:] = 0
    np.testing.assert_array_equal(decoded(tmp_path / "a.gif"), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_one_frame_is_a_film(tmp_path: Path, kind: str) -> None:
    write_film(tmp_path / f"a.{kind}", VIDEO[:1])
    assert len(decoded(tmp_path / f"a.{kind}")) == 1


def test_names_that_are_no_text(films: dict[str, Path], tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.gif"))
    path.write_bytes(films["gif"].read_bytes())
    assert len(decoded(path)) == 20


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_truncated_film_is_refused_by_name(films: dict[str, Path], kind: str, data: st.DataObject) -> None:
    whole = films[kind].read_bytes()
    path = films[kind].with_name(f"cut.{kind}")
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DataError, match=rf"cut\.{kind}"):
        decoded(path)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32), flips=st.integers(1, 16), within=st.sampled_from([64, 1000, 10**6]))
@settings(max_examples=30, deadline=None)
def test_a_damaged_film_is_an_error_by_name_or_a_film(
    films: dict[str, Path], kind: str, seed: int, flips: int, within: int
) -> None:
    damaged = bytearray(films[kind].read_bytes())
    generator = np.random.default_rng(seed)
    for position in generator.integers(min(within, len(damaged)), size=flips):
        damaged[position] ^= 1 << generator.integers(8)
    path = films[kind].with_name(f"flipped.{kind}")
    path.write_bytes(damaged)
    with expect_only(DataError, match=path.name), open_film(path) as film:
        assert all(picture.mode == "RGB" for picture in film.frames(seed % 3))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty; expected an mp4"),
        (b"<html>Not found</html>", "starts with 3c 68 74 6d 6c"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "expected an mp4"),  # a playlist, which FFmpeg would follow
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "expected an mp4"),
        (b"\x00\x00\x00\x20ftypisom", "cut off"),
        (b"\x00\x00\x00\x0cftypisom", "cannot be read as a video"),
        (b"\x1a\x45\xdf\xa3\x80", "cannot be read as a video|holds no"),
        (b"GIF89a\x10\x00\x10\x00\x00\x00\x00;", "cannot be read as a video|holds no"),
        (b"RIFF\x04\x00\x00\x00AVI ", "cannot be read as a video|holds no"),
    ],
)
def test_what_is_no_film_is_refused_with_what_was_found(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.mp4: .*({found})"):
        decoded(tmp_path / "a.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(DataError, match=r"a\.mp4: holds no video stream"):
        decoded(tmp_path / "a.mp4")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.mp4", tmp_path):
        with pytest.raises(DataError, match=path.name):
            decoded(path)
    with pytest.raises(DataError, match=r"gone\.mp4: no such file\."):
        decoded(tmp_path / "gone.mp4")


def gif_of(side: int) -> bytes:
    """A GIF whose one frame claims to be a square of that side."""
    header = b"GIF89a" + struct.pack("<2H3B", side, side, 0x80, 0, 0) + bytes(6)
    return header + b"," + struct.pack("<4HB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00;"


def test_absurd_sizes_cost_no_memory(tmp_path: Path) -> None:
    """In a process of its own, because Python does not see what FFmpeg allocates."""
    for side in (6_000, 12_000, 65_535):
        (tmp_path / f"{side}.gif").write_bytes(gif_of(side))
    assert MAX_PIXELS < 6_000**2
    script = """
import resource, sys
from pathlib import Path
from data_modules.common.errors import DataError
from data_modules.sources.video import open_film
import av
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).glob("*.gif")):
    try:
        with open_film(path) as film:
            list(film.frames())
    except DataError as error:
        assert path.name in str(error)
        print("refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    *refused, kilobytes = run.stdout.split()
    assert refused == ["refused"] * 3
    assert int(kilobytes) < 20_000

"""Folders of pictures: natural order, one size, and damaged files named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_modules.common.errors import DataError
from data_modules.sources.frames import frame_paths, read_clip, read_picture, resize, subfolders
from tests.data_modules.sources import expect_only

PHOTO = np.random.default_rng(0).integers(256, size=(30, 40, 3), dtype=np.uint8)


def test_frames_are_in_natural_order_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("img_10.png", "img_9.PNG", "img_0100.jpg", "img_2b.jpeg", "notes.txt", ".img_1.png", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [path.name for path in frame_paths(tmp_path)] == ["img_2b.jpeg", "img_9.PNG", "img_10.png", "img_0100.jpg"]


def test_names_without_a_common_form_are_ordered_too(tmp_path: Path) -> None:
    for name in ("10", "9", "a10", "a9", "é", "01", "1", ".hidden"):
        (tmp_path / name).mkdir()
    assert [path.name for path in subfolders(tmp_path)] == ["01", "1", "9", "10", "a9", "a10", "é"]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PHOTO).convert(mode).save(tmp_path / "0.png")
    assert read_clip([tmp_path / "0.png"], 30, 40).shape == (1, 30, 40, 3)


def test_resizing_is_antialiased_and_keeps_the_mean() -> None:
    stripes = np.zeros((1, 96, 96, 3), dtype=np.uint8)
    stripes[:, :, ::2] = 255
    small = resize(stripes, 24, 24).astype(float)
    # Taking every fourth pixel would give all black or all white.
    assert abs(small.mean() - 127.5) < 2
    assert small.std() < 12


def test_other_shapes_are_cropped_from_the_middle() -> None:
    wide = np.zeros((2, 20, 60, 3), dtype=np.uint8)
    wide[:, :, 20:40] = 200
    np.testing.assert_array_equal(resize(wide, 20, 20), np.full((2, 20, 20, 3), 200))


def test_nothing_is_done_to_frames_of_the_right_size(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "0.png")
    np.testing.assert_array_equal(read_clip([tmp_path / "0.png"], *PHOTO.shape[:2])[0], PHOTO)


def test_frames_of_one_clip_have_one_size(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    Image.new("RGB", (8, 9)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png: the frame is 8x9, .* 8x8"):
        read_clip(frame_paths(tmp_path), 8, 8)


def test_a_clip_without_frames() -> None:
    with pytest.raises(DataError, match="without frames"):
        read_clip([], 8, 8)


@given(part=st.floats(0, 0.9), suffix=st.sampled_from(["jpg", "png"]))
@settings(max_examples=40, deadline=None)
def test_a_truncated_picture_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, part: float, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("frames") / f"bild_ä.{suffix}"
    Image.fromarray(PHOTO).save(path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(DataError, match=f"bild_ä.{suffix}"):
        read_picture(path)


@given(seed=st.integers(0, 2**32), suffix=st.sampled_from(["jpg", "png"]))
@settings(max_examples=100, deadline=None)
def test_a_damaged_picture_is_an_error_by_name_or_a_picture(
    tmp_path_factory: pytest.TempPathFactory, seed: int, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("frames") / f"0.{suffix}"
    Image.fromarray(PHOTO).save(path)
    damaged = bytearray(path.read_bytes())
    generator = np.random.default_rng(seed)
    for position in generator.integers(len(damaged), size=4):
        damaged[position] ^= 1 << generator.integers(8)
    path.write_bytes(damaged)
    with expect_only(DataError, match=path.name):
        assert read_picture(path).mode == "RGB"


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_of_a_png_is_found(tmp_path_factory: pytest.TempPathFactory, position: float, bit: int) -> None:
    path = tmp_path_factory.mktemp("frames") / "0.png"
    Image.fromarray(PHOTO).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[int(position * (len(damaged) - 12))] ^= 1 << bit  # before the chunk that only says that it is the last
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=path.name):
        read_picture(path)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize("side", [9_000, 10_000, 20_000, 2**31 - 1])
def test_absurd_dimensions_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    (tmp_path / "0.png").write_bytes(png_header(side, side) + b"\0" * 64)
    with pytest.raises(DataError, match=r"0\.png"):
        read_picture(tmp_path / "0.png")


def test_another_format_under_a_known_name_is_refused(tmp_path: Path) -> None:
    # Pillow would read it; formats that no dataset uses stay unread, because each is a decoder to attack.
    Image.new("RGB", (4, 4)).save(tmp_path / "0.png", format="TIFF")
    with pytest.raises(DataError, match="cannot be read as a JPG or PNG"):
        read_picture(tmp_path / "0.png")


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png"):
        read_clip([tmp_path / "gone.png"], 8, 8)

"""Videos in and out: what is read has the colours and the size asked for, what is written can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.common.errors import DataError, UserError
from vdsm_glass.media import fitted, read_frames, save


def halves(*, height: int = 40, width: int = 60, t: int = 4) -> torch.Tensor:
    """(t, 3, h, w) left dark red, right bright green, growing bluer."""
    video = torch.zeros(t, 3, height, width)
    video[:, 0, :, : width // 2] = 0.4
    video[:, 1, :, width // 2 :] = 0.8
    video[:, 2] = torch.linspace(0, 0.6, t)[:, None, None]
    return video


def square(height: int, width: int) -> tuple[int, int]:
    return 16, 16


def as_they_are(height: int, width: int) -> tuple[int, int]:
    return height, width


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4"])
def test_a_video_of_another_size_is_read_at_the_size_asked_for(tmp_path: Path, suffix: str):
    path = save(halves(), tmp_path / f"film.{suffix}")
    found = read_frames(path, square)
    assert found.shape == (4, 3, 16, 16)
    # Far from the edge, to within what compression and a palette cost.
    for column, colour in ((3, (0.4, 0.0)), (12, (0.0, 0.8))):
        assert found[0, :2, 8, column].tolist() == pytest.approx(colour, abs=0.06)
    assert found[:, 2, 8, 3].tolist() == pytest.approx([0, 0.2, 0.4, 0.6], abs=0.08)
    assert len(read_frames(path, square, most=2)) == 2


def test_a_folder_of_pictures_and_a_picture_are_read(tmp_path: Path):
    for i in (9, 10):
        Image.new("RGB", (30, 20), (i, 0, 0)).save(tmp_path / f"{i}.png")
    assert (read_frames(tmp_path, square)[:, 0, 0, 0] * 255).round().tolist() == [9, 10]
    assert read_frames(tmp_path / "9.png", as_they_are).shape == (1, 3, 20, 30)
    both = read_frames([tmp_path / "9.png", torch.rand(1, 3, 64, 64)], square)
    assert both.shape == (2, 1, 3, 16, 16)


def test_fitting_cuts_out_the_middle_and_keeps_what_fits():
    video = torch.rand(2, 3, 16, 16)
    assert fitted(video, (16, 16)) is video
    wide = torch.zeros(1, 3, 8, 24)
    wide[..., 8:16] = 1
    torch.testing.assert_close(fitted(wide, (4, 4)), torch.ones(1, 3, 4, 4))


def test_a_damaged_foreign_or_missing_video_is_named(tmp_path: Path):
    film = save(halves(t=8), tmp_path / "film.mp4")
    film.write_bytes(film.read_bytes()[:600])
    moving = save(torch.rand(4, 3, 64, 64), tmp_path / "moving.webp")
    moving.write_bytes(moving.read_bytes()[:2000])
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for name, error in (
        ("film.mp4", "is cut off or damaged"),
        ("moving.webp", "cannot be read as a WEBP picture"),
        ("none.mp4", "no such file"),
        ("notes.txt", "is neither a picture nor a video by its name"),
        ("empty", "holds no pictures"),
    ):
        with pytest.raises(DataError, match=error) as raised:
            read_frames(tmp_path / name, square)
        assert str(tmp_path / name) in str(raised.value)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 8, 8)), np.zeros((4, 8, 8, 3)), torch.full((2, 3, 8, 8), 1.5), torch.zeros(2, 3, 8, 8).long(), 3, []],
)
def test_an_array_that_is_no_video_is_refused(array: object):
    with pytest.raises(UserError, match=r"is not a video|expected \(\[b,\] t, h, w, 3\) uint8"):
        read_frames(array, square)  # pyright: ignore[reportArgumentType]


def test_what_does_not_make_a_batch_is_refused():
    with pytest.raises(UserError, match="one length"):
        read_frames([torch.rand(2, 3, 8, 8), torch.rand(3, 3, 8, 8)], square)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "mp4"])
def test_files_show_what_was_made(tmp_path: Path, suffix: str):
    video = torch.stack([halves(height=32, width=32), 1 - halves(height=32, width=32)])
    path = save(video, tmp_path / "below" / f"made.{suffix}")
    if suffix == "mp4":
        assert read_frames(path, as_they_are).shape == (4, 3, 132, 264)
        return
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == (1 if suffix == "png" else 4)
        # Frames are enlarged to 128 (64 in a still), with a gap of 2 pixels around each.
        assert picture.size == ((4 * 68, 2 * 68) if suffix == "png" else (2 * 132, 132))
        colour = picture.convert("RGB").getpixel((20, 20))
    assert colour == pytest.approx((102, 0, 0), abs=10)


def test_numbers_are_written_as_they_are(tmp_path: Path):
    video = torch.rand(2, 3, 2, 3, 8, 8)
    with np.load(save(video, tmp_path / "made.npz", shift=torch.ones(2))) as found:
        assert np.array_equal(found["video"], video.numpy())
        assert found["shift"].tolist() == [1, 1]


def test_what_cannot_be_written_is_said(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot be written as \.avi; \.gif, \.webp"):
        save(halves(), tmp_path / "made.avi")
    with pytest.raises(UserError, match=r"found \(3, 8, 8\)"):
        save(torch.rand(3, 8, 8), tmp_path / "made.gif")
    assert not list(tmp_path.iterdir())

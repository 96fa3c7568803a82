from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from data_modules.common.files import replacing
from vdsm_glass import pictures


def colours(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, 3, 8, 10, generator=torch.Generator().manual_seed(0))


def test_grid_puts_every_cell_where_it_belongs():
    cells = colours(2, 3)
    picture = pictures.grid(cells, gap=1)
    assert picture.shape == (3, 2 * 10, 3 * 12)
    torch.testing.assert_close(picture[:, 11:19, 25:35], cells[1, 2])
    assert bool((picture[:, 0] == 1).all())


def test_strip_shows_the_first_and_the_last_frame():
    video = colours(2, 9)
    picture = pictures.strip(video, frames=3)
    gap = pictures.GAP
    torch.testing.assert_close(picture[:, gap : gap + 8, gap : gap + 10], video[0, 0])
    torch.testing.assert_close(picture[:, -gap - 8 : -gap, -gap - 10 : -gap], video[1, -1])


def test_margins_hold_what_rows_and_columns_come_from():
    cells, rows, columns = colours(2, 3, 4), colours(2, 4), colours(3, 4)
    full = pictures.with_margins(cells, rows=rows, columns=columns)
    assert full.shape == (3, 4, 4, 3, 8, 10)
    assert torch.equal(full[1:, 0], rows)
    assert torch.equal(full[0, 1:], columns)
    assert torch.equal(full[1:, 1:], cells)
    assert bool((full[0, 0] == 1).all())


def test_enlarging_repeats_whole_pixels():
    frame = colours()
    large = pictures.enlarge(frame, at_least=20)
    assert large.shape == (3, 24, 30)
    assert torch.equal(large[:, ::3, ::3], frame)
    assert torch.equal(large[:, 2::3, 2::3], frame)


def test_png_keeps_every_value(tmp_path: Path):
    frame = colours()
    read = np.asarray(Image.open(pictures.write_png(frame, tmp_path / "new" / "a.png")))
    np.testing.assert_array_equal(read, pictures.to_uint8(frame))


def test_gif_has_all_frames_and_the_right_pace(tmp_path: Path):
    with Image.open(pictures.write_gif(colours(5), tmp_path / "a.gif", fps=10)) as gif:
        assert gif.n_frames == 5
        assert gif.info["duration"] == 100
        assert gif.info["loop"] == 0


def test_mp4_can_be_read_again(tmp_path: Path):
    path = pictures.write_mp4(torch.full((6, 3, 33, 48), 0.5), tmp_path / "a.mp4", fps=6)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6
    assert frames[0].shape == (32, 48, 3)
    assert abs(int(frames[3].mean()) - 128) < 4


def test_a_failed_write_leaves_the_old_picture_and_nothing_else(tmp_path: Path):
    path = pictures.write_png(colours(), tmp_path / "a.png")
    before = path.read_bytes()

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_curves_are_drawn(tmp_path: Path):
    path = pictures.draw_curves(
        {"a": [0, 1], "b": [2, 1, 0], "c": [1], "d": [1, 2]}, tmp_path / "c.png", across="epoch"
    )
    with Image.open(path) as picture:
        assert picture.width > picture.height
        lower = np.asarray(picture.convert("L"))[picture.height // 2 :]
    assert lower[:, : lower.shape[1] // 3].min() < 128
    assert lower[:, lower.shape[1] // 3 :].min() == 255, "no frames where there are no curves"


def test_gif_keeps_a_small_patch_of_another_colour(tmp_path: Path):
    video = colours(4)
    video = pictures.enlarge(video, at_least=64)
    video[:, 1:] *= 0.1
    video[:, :, :4, :4] = torch.tensor([0.0, 0.7, 0.2]).view(3, 1, 1)
    with Image.open(pictures.write_gif(video, tmp_path / "a.gif")) as gif:
        gif.seek(2)
        shown = np.asarray(gif.convert("RGB"))[2, 2].astype(int)
    assert np.abs(shown - [0, 178, 51]).max() < 30

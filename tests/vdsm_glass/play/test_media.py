"""What the page shows, records, and takes from people."""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from data_modules.common.errors import DataError
from vdsm_glass.pictures import write_mp4
from vdsm_glass.play import media

CLIP = torch.rand(5, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def decoded(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)))).permute(2, 0, 1) / 255


def test_a_picture_survives_its_png_and_address():
    address = media.data_url(media.png(CLIP[0]))
    head, _, body = address.partition(",")
    assert head == "data:image/png;base64"
    torch.testing.assert_close(decoded(base64.b64decode(body)), CLIP[0], atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_strip_has_its_frames_from_left_to_right():
    row = media.strip(CLIP)
    assert row.shape == (3, 16, 5 * 24)
    assert torch.equal(row[:, :, 2 * 24 : 3 * 24], CLIP[2])


def test_recordings_hold_all_frames_enlarged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gif = Image.open(io.BytesIO(media.recording(CLIP, "gif")))
    assert (len(list(ImageSequence.Iterator(gif))), gif.size) == (5, (16 * 24, 16 * 16))
    back = media.read_upload(media.recording(CLIP, "mp4"), "clip.mp4", height=256, width=384)
    assert back.shape == (5, 3, 256, 384)
    assert not list(tmp_path.iterdir())


def test_an_upload_is_fitted_and_cut_to_the_first_frames(tmp_path: Path):
    flat = torch.ones(9, 3, 64, 64) * torch.linspace(0.1, 0.9, 9)[:, None, None, None]
    content = write_mp4(flat, tmp_path / "flat.mp4").read_bytes()
    taken = media.read_upload(content, "flat.mp4", height=16, width=32, most_frames=3)
    assert taken.shape == (3, 3, 16, 32)
    torch.testing.assert_close(taken.mean(dim=(1, 2, 3)), torch.tensor([0.1, 0.2, 0.3]), atol=0.03, rtol=0)
    picture = media.read_upload(media.png(CLIP[0]), "me.PNG", height=16, width=24)
    torch.testing.assert_close(picture[0], CLIP[0], atol=0.5 / 255 + 1e-6, rtol=0)


def test_an_animated_webp_is_a_film(tmp_path: Path):
    pictures = [Image.fromarray(np.full((16, 16, 3), 50 * k, np.uint8)) for k in range(1, 5)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    taken = media.read_upload((tmp_path / "a.webp").read_bytes(), "a.WEBP", height=16, width=16, most_frames=3)
    torch.testing.assert_close(taken.mean(dim=(1, 2, 3)), torch.tensor([50, 100, 150]) / 255, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [
        (b"GIF89a", "../../etc/cut.gif", r"^cut\.gif: is cut off or damaged"),
        (b"\x89PNG\r\n", "<b>x.png", r"^_b_x\.png: cannot be read as a JPG or PNG"),
        (b"RIFF\x00\x00", "cut.webp", r"^cut\.webp: cannot be read as a WEBP"),
        (b"#!/bin/sh", "run.sh", r"^run\.sh: is neither a picture nor a video by its name"),
        (b"#EXTM3U\nfile:///etc/passwd", "list.mp4", r"^list\.mp4: "),
        (b"", "", r"^upload: is neither"),
        (bytes(media.MOST_BYTES + 1), "big.mp4", r"^big\.mp4: has 20 MB; at most 20 MB"),
    ],
)
def test_a_hostile_upload_is_one_named_error_and_leaves_nothing(
    content: bytes, name: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DataError, match=error) as raised:
        media.read_upload(content, name, height=16, width=16)
    assert str(tmp_path) not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_decoding_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "MOST_SECONDS", -1.0)
    with pytest.raises(DataError, match=r"clip.mp4: takes over"):
        media.read_upload(media.recording(CLIP, "mp4"), "clip.mp4", height=16, width=16)

"""What `prepare` and `show` do."""

from __future__ import annotations

import io
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from rich.filesize import decimal

from data_modules.batch import VideoBatch
from data_modules.common.errors import DataError
from data_modules.tools import prepare, show
from tests.data_modules.toy import Toy


def test_prepare_builds_and_says_what_is_there(tmp_path: Path) -> None:
    text = io.StringIO()
    module = Toy(root=str(tmp_path))
    store = prepare.prepare(module, Console(file=text, width=120))
    files = [path for path in store.folder.rglob("*") if path.suffix in (".bin", ".jsonl")]
    assert store.bytes == sum(path.stat().st_size for path in files)
    printed = text.getvalue()
    frames = sum(9 + number % 5 for number in range(10))
    for split in ("train", "val", "test"):
        size = decimal(sum(path.stat().st_size for path in files if path.parent.name == split))
        row = [split, "10", str(frames), *size.split(), "3", "4", "2", "too", "dull"]
        assert any(line.replace("│", " ").split() == row for line in printed.splitlines())
    assert "16x24 pixels with mask, local_action, position, foreground_shift, background_shift" in " ".join(
        printed.split()
    )
    assert "10/10" in printed


def test_show_draws_frames_masks_and_shifts_where_they_are(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path))
    sheet, gif = show.show(module, tmp_path / "out", clips=5, frames=6, columns=3)
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    factor, cell = 6, (96 + show.GAP, 144 + show.GAP)
    assert pixels.shape == (5 * cell[0] + show.GAP, show.LABEL_WIDTH + 3 * cell[1], 3)
    outline = (pixels == show.FOREGROUND).all(axis=-1)
    part = module.store.split("train")
    clip = module.clip("train", show._different(part, np.arange(len(part)), 5)[0])
    assert clip.mask is not None
    rows, columns = np.nonzero(clip.mask[0])
    top, left = show.GAP + rows.min() * factor, show.LABEL_WIDTH + columns.min() * factor
    side = 5 * factor
    edge = outline[top : top + side, left : left + side]
    for line in (edge[0], edge[-1], edge[:, 0], edge[:, -1]):
        assert line.mean() > 0.8  # but where an arrow crosses it
    assert not edge[1:-1, 1:-1].all()
    with Image.open(gif) as moving:
        assert moving.n_frames == 6  # pyright: ignore[reportAttributeAccessIssue]


def test_arrows_are_three_times_as_long_as_the_shifts() -> None:
    unknown = torch.tensor([-1])
    batch = VideoBatch(
        video=torch.zeros(1, 2, 3, 96, 128),
        identity=unknown,
        action=unknown,
        clip=unknown,
        foreground_shift=torch.tensor([[[0.0, -7.0]]]),
        background_shift=torch.tensor([[[2.0, 0.0]]]),
        position=torch.tensor([[[40.0, 60.0], [40.0, 53.0]]]),
    )
    first, last = (np.asarray(show._picture(batch, 0, frame)) for frame in (0, 1))
    rows, columns = np.nonzero((first == show.FOREGROUND).all(axis=-1))
    assert (rows.min(), rows.max()) == (pytest.approx(60 - 21, abs=1), pytest.approx(60, abs=1))
    assert abs(columns - 40).max() <= 4
    _, columns = np.nonzero((first == show.BACKGROUND).all(axis=-1))
    assert np.ptp(columns) == pytest.approx(6, abs=1)
    assert not last.any()


def test_show_takes_as_many_frames_as_so_many_clips_have(tmp_path: Path) -> None:
    """Of ten clips two each have 9, 10, 11, 12 and 13 frames."""
    _, gif = show.show(Toy(root=str(tmp_path)), tmp_path / "out", clips=5)
    with Image.open(gif) as moving:
        assert moving.n_frames == 11  # pyright: ignore[reportAttributeAccessIssue]


def test_labels_of_many_lines_have_room(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), labels_per_frame=True, clips=2, size=(16, 24))
    module.prepare_data()
    names = [f"an action of {number} that has a long name" for number in range(4)]
    with patch.object(Toy, "action_names", names):
        sheet, _ = show.show(module, tmp_path / "out", clips=2, columns=2)
    pixels = np.asarray(Image.open(sheet).convert("L"))[:, : show.LABEL_WIDTH]
    written = (pixels < 200).any(axis=1)
    first, second = np.split(written, 2)
    assert first[: show.GAP + 96].any()
    assert first[96 + 2 * show.GAP :].any()  # below the frame
    assert not first[-show.GAP :].any()
    assert not second[-show.GAP :].any()


def test_show_picks_different_clips(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), clips=40, identities=8)
    module.prepare_data()
    part = module.store.split("train")
    chosen = show._different(part, np.arange(40), 8)
    assert set(part.array("identity")[chosen]) == set(range(8))
    assert set(part.array("action")[chosen]) == set(range(4))


def test_show_without_clips_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 0"):
        show.show(Toy(root=str(tmp_path), clips=0), tmp_path)

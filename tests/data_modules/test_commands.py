"""`prepare` and `show`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from data_modules import prepare, show
from data_modules.errors import DataError, UserError
from tests.data_modules.toy import Toy


def test_prepare_builds_and_says_what_is_there(tmp_path: Path) -> None:
    text = io.StringIO()
    module = Toy(root=str(tmp_path))
    summary = prepare.prepare(module, Console(file=text, width=120))
    assert [(part.split, part.clips, part.frames) for part in summary.splits] == [
        (split, 10, sum(9 + number % 5 for number in range(10))) for split in ("train", "val", "test")
    ]
    assert {part.identities for part in summary.splits} == {3}
    assert {part.actions for part in summary.splits} == {4}
    files = [path for path in summary.folder.rglob("*") if path.suffix in (".bin", ".jsonl")]
    assert sum(part.bytes for part in summary.splits) == sum(path.stat().st_size for path in files)
    printed = text.getvalue()
    assert "2 too dull" in printed
    assert "10/10" in printed


def test_commands_know_datasets_and_their_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pictures"
    options = ["--root", str(tmp_path), "--tiny", "--size", "32", "--colours", "3"]
    assert prepare.main(["pendulum", *options]) == 0
    assert "train" in capsys.readouterr().out
    assert show.main(["pendulum", *options, "--out", str(out), "--clips", "3"]) == 0
    assert {path.name for path in out.iterdir()} == {"contact_sheet.png", "clips.gif"}
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        str(out / "contact_sheet.png"),
        str(out / "clips.gif"),
    ]


def test_a_misspelt_dataset_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="'pendulm' is no dataset; did you mean 'pendulum'"):
        prepare.main(["pendulm"])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["pendulum", "--colors", "3"]])
def test_help_and_misspelt_options_end_the_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        show.main(arguments)
    printed = capsys.readouterr()
    assert end.value.code == (0 if arguments == ["--help"] else 2)
    assert ("--colors" in printed.err) if "--colors" in arguments else ("pendulum" in printed.out)


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

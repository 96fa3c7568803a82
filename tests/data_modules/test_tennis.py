"""Tennis: folders of pictures and match videos give the same kind of clips, split as published."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.scenes import draw_rally
from data_modules.drawings.tiny_video import write_match, write_pictures, write_rallies
from data_modules.sources.matches import COLUMNS, Sequence
from data_modules.store.format import SPLITS
from data_modules.tennis import Matches, Tennis


def tennis(root: Path, **options: Any) -> Tennis:
    return Tennis(root=str(root), **({"size": (24, 64), "clip_length": 3, "batch_size": 2} | options))


@pytest.mark.parametrize("layout", ["folders", "videos"])
def test_a_training_batch_of_either_layout(tmp_path: Path, layout: Literal["folders", "videos"]) -> None:
    module = tennis(tmp_path, tiny=True, layout=layout)
    module.prepare_data()
    assert next(iter(module.train_dataloader())).video.shape == (2, 3, 3, 24, 64)
    assert next(iter(module.test_dataloader())).video.shape == (2, 3, 3, 24, 64)
    assert [len(module.store.split(split)) for split in SPLITS] == [4, 2, 2]


def test_the_paper_s_settings_are_the_defaults() -> None:
    module = Tennis()
    assert (module.height, module.width, module.clip_length) == (96, 256, 12)
    assert (module.stride, module.eval_stride) == (5, 1)


def test_training_takes_every_fifth_frame_and_evaluation_every_one(tmp_path: Path) -> None:
    counting = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 24, 64, 3))
    for split in ("train", "val", "test"):
        write_pictures(tmp_path / "tennis" / split / "00000", counting)
    module = tennis(tmp_path, clip_length=4)
    module.prepare_data()
    seen = (next(iter(module.train_dataloader())).decoded().video[:, :, 0, 0, 0] * 255).round()
    torch.testing.assert_close(seen.diff(dim=1), torch.full((len(seen), 3), 5.0))
    seen = (next(iter(module.val_dataloader())).decoded().video[0, :, 0, 0, 0] * 255).round()
    torch.testing.assert_close(seen, torch.arange(4.0))


def test_metadata_beside_the_pictures_are_never_opened(tmp_path: Path) -> None:
    write_rallies(tmp_path / "tennis", 5, 3)
    for path in (tmp_path / "tennis").rglob("*.pkl"):
        path.unlink()
        path.symlink_to("/nowhere")  # to open it would be an error
    module = tennis(tmp_path, clip_length=2, stride=2)
    module.prepare_data()
    assert module.count("train") == 4


def test_sequences_are_cut_out_of_a_match(tmp_path: Path) -> None:
    (tmp_path / "videos_here").mkdir()
    write_match(tmp_path / "videos_here", 9, 90)
    module = Tennis(root=str(tmp_path), videos=str(tmp_path / "videos_here"))
    module.prepare_data()
    train = module.store.split("train")
    assert train.names == [f"match_00000.mp4[{15 * n + 3}:{15 * n + 12}]" for n in range(4)]
    for clip in range(4):
        drawn = draw_rally(clip, frames=15, height=96, width=256)[3:12]
        assert np.abs(train.frames(clip).astype(int) - drawn.transpose(0, 3, 1, 2)).mean() < 8
    test = module.store.split("test")
    assert test.lengths.tolist() == [16, 16]  # of 18: 90 frames, every 5th; two are left over
    drawn = draw_rally(6, frames=96, height=96, width=256)[3:83:5]
    assert np.abs(test.frames(0).astype(int) - drawn.transpose(0, 3, 1, 2)).mean() < 8


@pytest.mark.parametrize(("frames", "clips"), [(75, 0), (80, 0), (81, 1), (160, 1), (161, 2)])
def test_evaluation_clips_are_those_that_something_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, clips: int
) -> None:
    """80 frames are 16, every 5th; the published clips leave out the last 16 of a sequence where they are its end."""
    lines = [f"{number},{split}" for number, split in enumerate(("train", "validation", "test"))]
    rows = [f"a.mp4,{1000 * number},{1000 * number + frames - 1},0,0,8,8" for number in range(3)]
    (tmp_path / "annotations.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    (tmp_path / "splits.csv").write_text("\n".join(["sequence,split", *lines]))

    def decode(folder: Path, sequences: list[Sequence], *, every: int, **_: int) -> list[tuple[Sequence, np.ndarray]]:
        return [(sequence, np.arange(sequence.begin, sequence.end + 1)[::every]) for sequence in sequences]

    monkeypatch.setattr("data_modules.tennis.read_sequences", decode)
    matches, skipped = Matches(tmp_path, tmp_path / "annotations.csv", tmp_path / "splits.csv", 0), Counter[str]()
    (part,) = matches.units("val")
    found = [video.tolist() for _, video in matches.read(part, height=8, width=16, skipped=skipped)]
    assert found == [list(range(1000 + start, 1080 + start, 5)) for start in range(0, 80 * clips, 80)]
    assert skipped == ({} if clips else {"with fewer than 81 frames": 1})


def rewrite(path: Path, change: Any) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    changed = [change(row) for row in rows]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, changed[0])
        writer.writeheader()
        writer.writerows(changed)


def test_splits_come_from_a_list_a_column_or_by_chance(tmp_path: Path) -> None:
    write_match(tmp_path, 5, 5)
    listed = Tennis(videos=str(tmp_path)).recordings
    assert [listed.count("train")] == [4]
    (tmp_path / "splits.csv").rename(tmp_path / "elsewhere.csv")
    named = Tennis(videos=str(tmp_path), split_list=str(tmp_path / "elsewhere.csv")).recordings
    assert named.fingerprint() == listed.fingerprint()
    by_chance = Tennis(videos=str(tmp_path)).recordings
    assert "drawn by chance" in by_chance.remarks[0]
    assert by_chance.count("train") == 6
    assert Tennis(videos=str(tmp_path), split_seed=1).recordings.fingerprint() != by_chance.fingerprint()
    rewrite(tmp_path / "annotations.csv", lambda row: row | {"split": "test" if row["top"] == "x" else "train"})
    assert Tennis(videos=str(tmp_path)).recordings.count("train") == 8
    rewrite(tmp_path / "annotations.csv", lambda row: row | {"split": "training?"})
    with pytest.raises(DataError, match=r"annotations\.csv: sequence 0 of 8 is for 'training\?'; expected one of"):
        _ = Tennis(videos=str(tmp_path)).recordings
    (tmp_path / "splits.csv").write_text("sequence,split\n0,train\n")
    with pytest.raises(DataError, match=r"splits\.csv: sequence 1 of 8 is for None"):
        _ = Tennis(videos=str(tmp_path)).recordings


def test_without_tennis_one_error_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    for module in (Tennis(root=str(tmp_path)), Tennis(root=str(tmp_path), videos=str(tmp_path))):
        with pytest.raises(DataError) as raised:
            module.prepare_data()
        for part in (
            "https://www.youtube.com/watch?v=TUikJi0Qhhw",
            "https://github.com/willi-menapace/PlayableVideoGeneration",
            "vdsm-glass prepare tennis --videos DIR --annotations",
            f"{tmp_path}/tennis/train/00000/00000.png",
            "--data.tiny true",
        ):
            assert part in str(raised.value)


@pytest.mark.parametrize(
    "options", [{"split_seed": -1}, {"annotations": "a.csv"}, {"layout": "folders", "videos": "v"}]
)
def test_options_that_make_no_sense_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="tennis: "):
        Tennis(root=str(tmp_path), **options)

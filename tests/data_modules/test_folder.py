"""One's own videos: every kind becomes clips, splits go by file or by folder, and mistakes are named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.tiny_video import write_film, write_pictures
from data_modules.folder import VideoFolder
from data_modules.store.reader import SPLITS


def shades(value: int, frames: int) -> np.ndarray:
    """Each frame a little brighter, because equal ones become one in a GIF."""
    return np.broadcast_to(np.arange(value, value + frames, dtype=np.uint8)[:, None, None, None], (frames, 8, 12, 3))


def write_some(folder: Path, *places: str, frames: int = 6) -> None:
    for number, place in enumerate(places):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write = write_film if Path(place).suffix else write_pictures
        write(folder / place, shades(10 * number, frames))


def module(root: Path, **options: Any) -> VideoFolder:
    return VideoFolder(root=str(root), **({"size": 8, "clip_length": 2} | options))


def stored(prepared: VideoFolder) -> dict[str, list[str]]:
    prepared.prepare_data()
    return {split: prepared.store.split(split).names for split in SPLITS}


def test_a_training_batch_of_the_drawn_folder(tmp_path: Path) -> None:
    prepared = module(tmp_path, tiny=True, size=(32, 48), batch_size=8, shape="pad")
    prepared.prepare_data()
    names = [Path(name).name for split in SPLITS for name in prepared.store.split(split).names]
    assert sorted(name.partition("[")[0] for name in names) == sorted(
        ["a.mp4", "b.gif", "c", "d.webm", "e.avi", "f", "g.mp4", "h.gif", "i", "j.mp4"]
    )
    batch = next(iter(prepared.train_dataloader()))
    assert batch.video.shape == (8, 2, 3, 32, 48)
    assert set(batch.identity.tolist()) == set(batch.action.tolist()) == {-1}
    assert len(next(iter(prepared.test_dataloader())).video) == 1


def test_the_split_is_seeded_by_file_8_to_1_to_1(tmp_path: Path) -> None:
    write_some(tmp_path / "videos", *(f"{number}.gif" for number in range(20)))
    names = stored(module(tmp_path, clip_frames=4))
    assert {split: len(part) for split, part in names.items()} == {"train": 32, "val": 4, "test": 4}
    files = {split: {name.partition("[")[0] for name in part} for split, part in names.items()}
    assert set().union(*files.values()) == {f"{number}.gif" for number in range(20)}
    assert sum(map(len, files.values())) == 20
    assert stored(module(tmp_path, clip_frames=4, seed=5)) == names
    assert stored(module(tmp_path, clip_frames=4, split_seed=1)) != names
    equal = stored(module(tmp_path, clip_frames=100, parts=(1, 1, 2)))
    assert {split: len(part) for split, part in equal.items()} == {"train": 5, "val": 5, "test": 10}


def test_folders_called_after_splits_are_the_split(tmp_path: Path) -> None:
    write_some(tmp_path / "videos", "Train/a.gif", "train2.gif", "validation/b/c", "test/d.gif", "train/e.gif")
    assert stored(module(tmp_path)) == {
        "train": ["Train/a.gif[0:6]", "train/e.gif[0:6]"],
        "val": ["validation/b/c[0:6]"],
        "test": ["test/d.gif[0:6]"],
    }
    by_chance = stored(module(tmp_path, split_by="seeded"))
    assert sorted(len(part) for part in by_chance.values()) == [1, 1, 3]


def test_without_validation_a_part_of_training_is_taken(tmp_path: Path) -> None:
    write_some(tmp_path / "videos", *(f"train/{number}.gif" for number in range(10)), "test/a.gif", "test/b.gif")
    names = stored(module(tmp_path, parts=(6, 2, 2)))
    assert [len(names[split]) for split in SPLITS] == [8, 2, 2]
    assert all(name.startswith("test/") == (split == "test") for split, part in names.items() for name in part)


def test_long_videos_are_cut_and_their_frames_kept(tmp_path: Path) -> None:
    counting = np.broadcast_to(np.arange(0, 100, 5, dtype=np.uint8)[:, None, None, None], (20, 8, 8, 3))
    for name in "abc":
        write_pictures(tmp_path / "videos" / name, counting)
    prepared = module(tmp_path, every=3, clip_frames=4)
    names = stored(prepared)
    (place,) = {name.partition("[")[0] for name in names["test"]}
    assert names["test"] == [f"{place}[0:12]", f"{place}[12:21]"]
    part = prepared.store.split("test")
    assert [part.frames(clip)[:, 0, 0, 0].tolist() for clip in range(2)] == [[0, 15, 30, 45], [60, 75, 90]]
    assert prepared.count("test") == 2


def test_a_film_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    video = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 96, 96, 3))
    for name in ("a.avi", "b.avi", "c.avi"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_film(tmp_path / "videos" / name, video)
    prepared = module(tmp_path, size=96, clip_frames=10)
    clips = prepared.read_unit(prepared.units("train")[0])
    next(iter(clips))  # what is imported is not counted
    tracemalloc.start()
    assert sum(len(clip.video) for clip in clips) == 190
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < video.nbytes / 4


def test_other_videos_or_options_are_another_store(tmp_path: Path) -> None:
    write_some(tmp_path / "videos", *"abcd")
    before = module(tmp_path).store_folder()
    assert module(tmp_path, batch_size=3, seed=4, clip_length=3).store_folder() == before
    for options in ({"every": 2}, {"shape": "pad"}, {"clip_frames": 9}, {"split_seed": 1}, {"size": 10}):
        assert module(tmp_path, **options).store_folder() != before
    (tmp_path / "videos" / "a" / "00003.png").unlink()
    assert module(tmp_path).store_folder() != before


def test_a_damaged_video_stops_or_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_some(tmp_path / "videos", *(f"{number}.gif" for number in range(9)))
    for path in (tmp_path / "videos").iterdir():
        if path.name not in ("0.gif", "1.gif", "2.gif"):
            path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"[3-8]\.gif: is cut off"):
        module(tmp_path).prepare_data()
    assert not [path for path in (tmp_path / "stores").iterdir() if not path.name.startswith(".")]
    prepared = module(tmp_path, skip_damaged=True)
    names = stored(prepared)
    assert {name for part in names.values() for name in part} == {"0.gif[0:6]", "1.gif[0:6]", "2.gif[0:6]"}
    assert sum(prepared.store.split(split).skipped.get("damaged", 0) for split in SPLITS) == 6
    assert "cut off" in caplog.text


def test_what_is_left_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_some(tmp_path / "videos", *"abc")
    (tmp_path / "videos" / "notes.txt").touch()
    module(tmp_path).prepare_data()
    assert "left out of all splits: 1 files of other kinds" in caplog.text


def test_one_frame_videos_are_kept_and_named_when_clips_are_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_some(tmp_path / "videos", *(f"train/{name}.gif" for name in "abcd"), "val/v.gif", "test/t.gif")
    write_some(tmp_path / "videos", "train/short", "train/short.gif", frames=1)
    prepared = module(tmp_path)
    prepared.prepare_data()
    assert len(prepared.training_dataset()) == 4
    assert "2 of 6 folder train clips have fewer than 2 frames" in caplog.text


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no folder {tmp_path}/videos.*--data\.videos"):
        module(tmp_path).prepare_data()
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match="holds no videos; expected mp4"):
        module(tmp_path).prepare_data()
    write_some(tmp_path / "videos", "a.gif", "b.gif")
    with pytest.raises(DataError, match=r"2 videos in .* too few to split"):
        module(tmp_path).prepare_data()
    with pytest.raises(DataError, match="no folders `train` and `test`"):
        module(tmp_path, split_by="folders").prepare_data()


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"clip_frames": 0}, {"split_seed": -1}, {"parts": (1, 0, 1)}, {"parts": (1, 1, -1)}]
)
def test_options_that_make_no_sense_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        module(tmp_path, **options)

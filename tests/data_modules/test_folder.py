"""One's own videos: every kind becomes clips, splits go by file or by folder, and mistakes are named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.tiny_video import write_film, write_pictures
from data_modules.folder import VideoFolder
from data_modules.shared.splits import in_time, least_in_time
from data_modules.store.format import SPLITS, Split


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
        module(tmp_path, split_by="seeded").prepare_data()
    with pytest.raises(DataError, match="no folders `train` and `test`"):
        module(tmp_path, split_by="folders").prepare_data()


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"clip_frames": 0}, {"split_seed": -1}, {"parts": (1, 0, 1)}, {"parts": (1, 1, -1)}]
)
def test_options_that_make_no_sense_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        module(tmp_path, **options)


def counting(frames: int) -> np.ndarray:
    """Frame i has the shade i + 20, so that a stored frame says which one it is."""
    return np.broadcast_to(np.arange(20, 20 + frames, dtype=np.uint8)[:, None, None, None], (frames, 16, 16, 3))


def frames_in(prepared: VideoFolder, split: Split) -> list[int]:
    """Which frames of the `counting` video are stored in `split`, by their shades."""
    part = prepared.store.split(split)
    return [round(float(frame.mean())) - 20 for clip in range(len(part)) for frame in part.frames(clip)]


@pytest.mark.parametrize("place", ["long", "long.gif", "long.avi", "long.mp4"])
def test_one_recording_is_split_in_time(tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture) -> None:
    """8:1:1 of 100 frames that are not one of five gaps of 10; no frame is within a clip's length of another split."""
    (tmp_path / "videos").mkdir()
    (write_film if Path(place).suffix else write_pictures)(tmp_path / "videos" / place, counting(150))
    prepared = module(tmp_path, size=16, gap=10, clip_length=10, clip_frames=40)
    names = stored(prepared)
    assert names == {
        "train": [f"{place}[{start}:{min(start + 40, 90)}]" for start in (0, 40, 80)],
        "val": [f"{place}[100:110]", f"{place}[110:120]"],
        "test": [f"{place}[130:140]", f"{place}[140:150]"],
    }
    expected = {"train": range(90), "val": range(100, 120), "test": range(130, 150)}
    for split, frames in expected.items():
        found = frames_in(prepared, split)
        assert len(found) == len(frames)
        # Codecs change a shade a little; that of the gap's neighbour would be ten away.
        assert max(abs(one - other) for one, other in zip(found, frames, strict=True)) <= 3
        assert prepared.count(split) == len(names[split])
    assert "every video is split in time" in caplog.text
    assert "10 frames between two parts, at least one clip's length, are left out" in caplog.text
    assert len(prepared.training_dataset()) == 3


def test_every_and_two_recordings_split_in_time(tmp_path: Path) -> None:
    for name in "ab":
        write_pictures(tmp_path / "videos" / name, counting(100))
    prepared = module(tmp_path, size=16, gap=4, every=3, parts=(2, 1, 1))
    assert stored(prepared) == {  # 34 frames are taken, of which 14 are shared out 2:1:1
        "train": ["a[0:36]", "b[0:36]"],
        "val": ["a[48:60]", "a[60:69]", "b[48:60]", "b[60:69]"],
        "test": ["a[81:93]", "a[93:102]", "b[81:93]", "b[93:102]"],
    }
    assert frames_in(prepared, "train") == 2 * list(range(0, 36, 3))
    assert frames_in(prepared, "test") == 2 * list(range(81, 100, 3))


def test_three_recordings_are_split_by_file_unless_time_is_asked_for(tmp_path: Path) -> None:
    for name in "abc":
        write_pictures(tmp_path / "videos" / name, counting(60))
    by_file, in_time = module(tmp_path, size=16), module(tmp_path, size=16, split_by="time", gap=4)
    assert [len(part) for part in stored(by_file).values()] == [1, 1, 1]
    assert [len(part) for part in stored(in_time).values()] == [3, 6, 6]


def test_the_gap_is_at_least_the_longest_clip(tmp_path: Path) -> None:
    assert module(tmp_path).gap == 32
    assert module(tmp_path, clip_length=30, stride=(1, 2)).gap == 29 * 2 + 1
    assert module(tmp_path, eval_clip_length=30, eval_stride=3).gap == 29 * 3 + 1
    write_pictures(tmp_path / "videos" / "a", counting(200))
    folders = {module(tmp_path, clip_length=length).store_folder() for length in (2, 16, 32)}
    assert len(folders) == 1
    assert module(tmp_path, clip_length=33).store_folder() not in folders


@pytest.mark.parametrize("every", [1, 2])
def test_a_recording_that_is_too_short_says_how_long_it_must_be(tmp_path: Path, every: int) -> None:
    least = 5 * 4 if every == 1 else 5 * 4 * 2 - 1
    write_pictures(tmp_path / "videos" / "a", counting(least - 1))
    with pytest.raises(
        DataError, match=rf"a: has {least - 1} frames, too few to split in time; expected at least {least}"
    ):
        module(tmp_path, gap=4, every=every).prepare_data()
    write_pictures(tmp_path / "other" / "a", counting(least))
    names = stored(module(tmp_path, videos=str(tmp_path / "other"), gap=4, every=every))
    assert [len(part) for part in names.values()] == [1, 1, 1]


@given(frames=st.integers(0, 3000), gap=st.integers(0, 100), parts=st.tuples(*[st.floats(0.01, 100)] * 3))
def test_parts_in_time_are_far_enough_apart_and_long_enough(
    frames: int, gap: int, parts: tuple[float, float, float]
) -> None:
    ranges = in_time(frames, parts, gap)
    if frames < least_in_time(gap):
        assert ranges is None
        return
    assert ranges is not None
    train, val, test = (ranges[split] for split in SPLITS)
    assert (train.start, test.stop) == (0, frames)
    assert val.start - train.stop == test.start - val.stop == gap
    assert min(len(train), len(val), len(test)) >= gap


@pytest.mark.parametrize("place", ["a.mp4", "a"])
def test_a_region_of_every_frame_is_taken(tmp_path: Path, place: str) -> None:
    video = np.zeros((40, 32, 48, 3), np.uint8)
    video[:, 8:24, 16:40] = 200
    (tmp_path / "videos").mkdir()
    write = write_film if place.endswith("mp4") else write_pictures
    write(tmp_path / "videos" / place, video)
    options: dict[str, Any] = {"size": (16, 24), "gap": 2, "clip_frames": 8}
    whole, cut = module(tmp_path, **options), module(tmp_path, region=(16, 8, 24, 16), **options)
    for prepared in (whole, cut):
        prepared.prepare_data()
    assert whole.store_folder() != cut.store_folder()
    assert cut.store.split("train").frames(0).min() > 180
    assert whole.store.split("train").frames(0).min() < 20


@pytest.mark.parametrize("place", ["one.mp4", "one"])
def test_frames_before_and_after_are_left_out(tmp_path: Path, place: str) -> None:
    video = np.zeros((60, 32, 48, 3), np.uint8)
    video[10:50] = 200
    (tmp_path / "videos").mkdir()
    write = write_film if place.endswith("mp4") else write_pictures
    write(tmp_path / "videos" / place, video)
    whole, part = (module(tmp_path, gap=3, clip_frames=8, between=between) for between in (None, (10, 50)))
    for prepared in (whole, part):
        prepared.prepare_data()
    assert whole.store_folder() != part.store_folder()
    lengths = {split: part.store.split(split).lengths for split in SPLITS}
    assert sum(each.sum() for each in lengths.values()) == 40 - 2 * part.gap
    assert max(lengths["train"]) == 8
    assert max(lengths["test"]) <= part.gap, "an evaluation takes one window of each clip"
    assert min(part.store.split(split).frames(0).min() for split in SPLITS) > 180
    with pytest.raises(UserError, match="between is"):
        module(tmp_path, between=(5, 5))


def test_one_film_is_enough(tmp_path: Path) -> None:
    write_some(tmp_path, "a.mp4", "b.mp4", frames=30)
    names = stored(module(tmp_path, videos=str(tmp_path / "a.mp4"), gap=3))
    assert {name.partition("[")[0] for part in names.values() for name in part} == {"a.mp4"}


def test_a_region_without_pixels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="region is"):
        module(tmp_path, region=(0, 0, 0, 8))

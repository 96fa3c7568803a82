"""MUG: both layouts, what is left out, the split, and the one error that says how to obtain it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from data_modules.common.errors import DataError, UserError
from data_modules.drawings.scenes import draw_sequence
from data_modules.drawings.tiny_video import write_mug_npz, write_mug_tree
from data_modules.mug import MUG
from data_modules.sources.mug import EMOTIONS, MugArchive, MugTree
from data_modules.store.format import SPLITS


def write_sequences(folder: Path, actions: list[int], *, labels: np.ndarray | None = None, dtype: str = "u1") -> None:
    sequences = np.empty(len(actions), dtype=object)
    for index in range(len(actions)):
        sequences[index] = np.full((4, 8, 8, 3), index, dtype=dtype)
    table = np.stack([np.arange(len(actions)) % 3 + 5, actions], axis=1) if labels is None else labels
    folder.mkdir(exist_ok=True)
    np.savez(folder / "mug.npz", sequences=sequences, labels=table)


@pytest.mark.parametrize("layout", ["tree", "npz"])
def test_a_training_batch_of_either_layout(tmp_path: Path, layout: Literal["tree", "npz"]) -> None:
    module = MUG(root=str(tmp_path), tiny=True, layout=layout, clip_length=3, batch_size=4, flip=True)
    module.prepare_data()
    batch = next(iter(module.train_dataloader()))
    assert batch.video.shape == (4, 3, 3, 64, 64)
    assert set(batch.identity.tolist()) <= {0, 1}
    assert set(batch.action.tolist()) <= set(range(6))
    assert len(module.describe_labels().identity) == 2


def test_neutral_and_session_takes_are_left_out(tmp_path: Path) -> None:
    write_mug_tree(tmp_path, subjects=2, takes=1, frames=2)
    session = tmp_path / "001" / "fear" / "session1"
    session.mkdir()
    Image.new("RGB", (8, 8)).save(session / "0.jpg")
    (tmp_path / "002" / "anger" / "take009").mkdir()
    tree = MugTree(tmp_path)
    assert tree.left_out == {"neutral": 1, "session0": 1, "session": 1, "without pictures": 1}
    assert tree.subjects == ["001", "002"]
    assert len(tree.action) == 2 * 6 + 1
    names = [name for _, name, _ in tree.read(range(13), every=1, height=4, width=4)]
    assert names[:3] == ["001/anger/take000", "001/anger/take001", "001/disgust/take000"]
    assert [EMOTIONS[action] for action in tree.action] == [name.split("/")[1] for name in names]


def test_every_second_frame_in_natural_order(tmp_path: Path) -> None:
    take = tmp_path / "mug" / "007" / "surprise" / "take000"
    take.mkdir(parents=True)
    for number in range(12):
        Image.new("RGB", (64, 64), (20 * number, 0, 0)).save(take / f"img_{number}.jpg", quality=100)
    ((_, _, video),) = MugTree(tmp_path / "mug").read([0], every=2, height=64, width=64)
    np.testing.assert_allclose(video[:, 32, 32, 0], 20 * np.arange(0, 12, 2), atol=2)


def test_both_layouts_give_the_same_clips(tmp_path: Path) -> None:
    (tmp_path / "npz").mkdir()
    (tmp_path / "tree").mkdir()
    write_mug_npz(tmp_path / "npz", subjects=2, takes=1, frames=3)
    write_mug_tree(tmp_path / "tree", subjects=2, takes=1, frames=3)
    archive, tree = MugArchive(tmp_path / "npz", EMOTIONS), MugTree(tmp_path / "tree")
    order = [index for index in range(len(tree.action)) if index != 1]  # the short one
    assert [(int(tree.identity[i]), int(tree.action[i])) for i in order] == list(
        zip(archive.identity.tolist(), archive.action.tolist(), strict=True)
    )
    drawn = draw_sequence(1, "sadness", frames=3, size=64)
    for recordings, index in ((archive, 10), (tree, 11)):
        ((_, _, video),) = recordings.read([index], every=1, height=64, width=64)
        assert np.abs(video.astype(int) - drawn).mean() < 8  # JPEG, and 112 pixels made 64


def test_codes_of_an_archive_are_named_by_the_user(tmp_path: Path) -> None:
    actions = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    write_sequences(tmp_path / "mug", actions)
    with pytest.raises(DataError, match=r"from 0 to 8, and 6 codes .* --data.action_codes"):
        _ = MUG(root=str(tmp_path)).recordings
    codes = ("anger", "disgust", "neutral", "fear", "happiness", "session0", "session1", "sadness", "surprise")
    module = MUG(root=str(tmp_path), action_codes=codes)
    assert module.recordings.action.tolist() == [0, 1, 2, 3, 4, 5, 5]
    assert module.recordings.left_out == {"neutral": 1, "session0": 1, "session1": 1}
    assert module.recordings.subjects == ["5", "6", "7"]
    values = {int(video[0, 0, 0, 0]) for _, _, video in module.recordings.read(range(7), every=2, height=8, width=8)}
    assert values == {0, 1, 3, 4, 7, 8, 9}


def test_the_split_is_seeded_by_sequence_and_independent_of_clip_length(tmp_path: Path) -> None:
    write_sequences(tmp_path / "mug", list(range(6)) * 20)
    module = MUG(root=str(tmp_path))
    parts = {split: module.sequences(split).tolist() for split in SPLITS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 86, "val": 4, "test": 30}
    assert sorted(index for part in parts.values() for index in part) == list(range(120))
    again, longer = MUG(root=str(tmp_path), seed=9), MUG(root=str(tmp_path), clip_length=50)
    other = MUG(root=str(tmp_path), split_seed=1)
    for split in SPLITS:
        assert again.sequences(split).tolist() == longer.sequences(split).tolist() == parts[split]
    assert other.sequences("test").tolist() != parts["test"]
    assert again.store_folder() == longer.store_folder() != other.store_folder()


def test_sequences_that_are_too_short_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = MUG(root=str(tmp_path), tiny=True, clip_length=3, batch_size=4)
    module.prepare_data()
    usable = {split: len(module.evaluation_dataset(split)) for split in SPLITS}
    assert sum(usable.values()) == 2 * 6 * 2
    assert "1 of" in caplog.text
    assert "fewer than 3 frames" in caplog.text


def test_without_mug_one_error_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    for module in (MUG(root=str(tmp_path)), MUG(root=str(tmp_path), layout="npz")):
        with pytest.raises(DataError) as raised:
            module.prepare_data()
        for part in (
            "licensed",
            "https://mug.ee.auth.gr/fed/",
            f"{tmp_path}/mug/001/anger/take000/img_0000.jpg",
            ".npz",
        ):
            assert part in str(raised.value)
    (tmp_path / "mug").mkdir()
    with pytest.raises(DataError, match="MUG is not in"):
        MUG(root=str(tmp_path)).prepare_data()


def test_a_corrupt_picture_is_named_and_leaves_no_store(tmp_path: Path) -> None:
    write_mug_tree(tmp_path / "mug", subjects=1, takes=2, frames=4)
    picture = tmp_path / "mug" / "001" / "sadness" / "take001" / "img_0002.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(DataError, match=r"sadness.take001.img_0002\.jpg"):
        MUG(root=str(tmp_path)).prepare_data()
    assert not [path for path in (tmp_path / "stores").iterdir() if not path.name.startswith(".")]


def test_another_source_is_another_store(tmp_path: Path) -> None:
    write_mug_tree(tmp_path / "mug", subjects=1, takes=2, frames=4)
    before = MUG(root=str(tmp_path)).store_folder()
    assert MUG(root=str(tmp_path)).store_folder() == before
    (tmp_path / "mug" / "001" / "fear" / "take001" / "img_0003.jpg").unlink()
    assert MUG(root=str(tmp_path)).store_folder() != before


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: np.savez(folder / "mug.npz", labels=np.zeros((3, 2), dtype=int)), r"hold mug.npz\[labels\]"),
        (lambda folder: np.savez(folder / "mug.npz", a=np.zeros((3, 4, 8, 8, 3))), "one object array"),
        (lambda folder: write_sequences(folder, [0, 1], labels=np.zeros((3, 2), dtype=int)), r"\(2,\) object"),
        (lambda folder: write_sequences(folder, [0, 1], labels=np.full((2, 2), -1)), "from -1"),
        (lambda folder: (folder / "mug.npz").write_bytes(b"PK\x03\x04 cut off"), r"mug\.npz: is not an intact"),
        (lambda folder: [write_sequences(folder, [0]), write_mug_tree(folder, subjects=1, takes=1, frames=2)], "twice"),
    ],
)
def test_malformed_sources_are_named(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    (tmp_path / "mug").mkdir()
    write(tmp_path / "mug")
    with pytest.raises(DataError, match=message):
        _ = MUG(root=str(tmp_path)).recordings


def test_a_sequence_of_another_form_is_named(tmp_path: Path) -> None:
    write_sequences(tmp_path / "mug", list(range(6)) * 3, dtype="f4")
    with pytest.raises(DataError, match=r"mug\.npz: sequence \d+ is \(4, 8, 8, 3\) float32; expected"):
        MUG(root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize("options", [{"every": 0}, {"validation_part": 1.0}, {"split_seed": -1}])
def test_mistakes_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        MUG(root=str(tmp_path), **options)


def test_drawn_faces_change_and_come_back() -> None:
    for emotion in EMOTIONS:
        video = draw_sequence(0, emotion, frames=9, size=64).astype(int)
        np.testing.assert_array_equal(video[0], video[-1])
        assert (video[4] != video[0]).any(axis=-1).mean() > 0.01

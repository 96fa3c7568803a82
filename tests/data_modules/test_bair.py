"""BAIR: both layouts, the dataset's test, a seeded validation, and the one error that says how to obtain it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from data_modules.bair import BAIR
from data_modules.common.errors import DataError, UserError
from data_modules.drawings.scenes import draw_push
from data_modules.drawings.tiny_video import write_pushes, write_softmotion
from data_modules.store.format import SPLITS


def bair(root: Path, **options: Any) -> BAIR:
    return BAIR(root=str(root), **({"clip_length": 2, "batch_size": 2, "size": 16} | options))


@pytest.mark.parametrize("layout", ["folders", "tfrecord"])
def test_a_training_batch_of_either_layout(tmp_path: Path, layout: Literal["folders", "tfrecord"]) -> None:
    module = bair(tmp_path, tiny=True, layout=layout)
    module.prepare_data()
    batch = next(iter(module.train_dataloader()))
    assert batch.video.shape == (2, 2, 3, 16, 16)
    assert set(batch.identity.tolist()) == set(batch.action.tolist()) == {-1}


def test_sizes_are_those_of_the_layouts() -> None:
    assert BAIR().height == BAIR(layout="folders").width == 256
    assert BAIR(layout="tfrecord").height == 64
    assert BAIR(layout="tfrecord", size=32).height == 32


def test_records_become_their_own_frames(tmp_path: Path) -> None:
    write_softmotion(tmp_path / "bair" / "softmotion30_44k")
    module = bair(tmp_path, size=64)
    module.prepare_data()
    assert [len(module.store.split(split)) for split in SPLITS] == [5, 1, 2]
    found = {split: module.store.split(split).names for split in SPLITS}
    assert all(name.startswith("test/") == (split == "test") for split, names in found.items() for name in names)
    assert len(set().union(*map(set, found.values()))) == 8
    test = module.store.split("test")
    for clip, seed in enumerate((6, 7)):
        drawn = draw_push(seed, frames=30, size=64).video.transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(test.frames(clip), drawn)


def test_validation_is_a_seeded_part_of_training(tmp_path: Path) -> None:
    write_softmotion(tmp_path / "bair" / "softmotion30_44k")
    before = bair(tmp_path, validation_part=0.4)
    assert [before.count(split) for split in SPLITS] == [4, 2, 2]
    assert bair(tmp_path, validation_part=0.4, seed=3).fingerprint() == before.fingerprint()
    assert bair(tmp_path, validation_part=0.4, split_seed=3).fingerprint() != before.fingerprint()


def test_frames_of_other_sizes_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_softmotion(tmp_path / "bair" / "softmotion30_44k")
    bair(tmp_path, size=32).prepare_data()
    assert "bair: the TFRecords' frames of 64x64 become 32x32" in caplog.text


def test_the_folders_own_validation_is_used(tmp_path: Path) -> None:
    write_pushes(tmp_path / "bair", frames=2)
    module = bair(tmp_path)
    module.prepare_data()
    assert module.store.split("val").names == ["val/00000[0:2]", "val/00001[0:2]"]
    assert module.count("train") == 4


def test_two_copies_and_half_a_copy_are_named(tmp_path: Path) -> None:
    write_softmotion(tmp_path / "bair" / "softmotion30_44k")
    write_pushes(tmp_path / "bair", frames=2)
    with pytest.raises(DataError, match=r"twice, as folders and as TFRecords\. Say which with --data\.layout"):
        bair(tmp_path).prepare_data()
    assert bair(tmp_path, layout="tfrecord").count("test") == 2
    for path in (tmp_path / "bair" / "softmotion30_44k" / "test").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="6 training and 0 test records"):
        bair(tmp_path, layout="tfrecord").prepare_data()


def test_without_bair_one_error_says_where_to_get_it_and_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        BAIR(root=str(tmp_path)).prepare_data()
    for part in (
        "http://rail.eecs.berkeley.edu/datasets/bair_robot_pushing_dataset_v0.tar",
        f"{tmp_path}/bair/softmotion30_44k/train/*.tfrecords",
        "bair_256_ours.tar.gz",
        f"{tmp_path}/bair/train/00000/00000.png",
        "--data.tiny true",
    ):
        assert part in str(raised.value)


@pytest.mark.parametrize("options", [{"validation_part": 1.0}, {"validation_part": 0.0}, {"split_seed": -1}])
def test_options_that_make_no_sense_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        BAIR(root=str(tmp_path), **options)

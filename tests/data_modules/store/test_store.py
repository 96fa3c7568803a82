from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from einops import rearrange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_modules.base import Split
from data_modules.common.errors import DataError
from data_modules.store.build import locate
from data_modules.store.clip_source import Clip
from data_modules.store.format import MANIFEST, SPLITS, DamagedStoreError
from data_modules.store.reader import Store
from tests.data_modules.toy import Toy
from tests.processes import exit_codes


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    module = Toy(root=str(tmp_path), log=tmp_path / "log")
    module.prepare_data()
    return module


def leftovers(module: Toy) -> list[Path]:
    stores = module.store_folder().parent
    return [path for path in stores.iterdir() if path != module.store_folder() and path.suffix != ".lock"]


@pytest.mark.parametrize("labels_per_frame", [False, True])
def test_gives_back_what_was_read(tmp_path: Path, labels_per_frame: bool) -> None:
    module = Toy(root=str(tmp_path), labels_per_frame=labels_per_frame)
    module.prepare_data()
    for split in SPLITS:
        part = module.store.split(split)
        assert len(part) == module.clips
        assert part.skipped == {"too dull": 2}
        for number, clip in enumerate(module.read(split)):
            np.testing.assert_array_equal(part.frames(number), rearrange(clip.video, "t h w c -> t c h w"))
            for field in ("mask", "local_action", "position"):
                np.testing.assert_array_equal(part.window(field, number), getattr(clip, field))
            for field in ("foreground_shift", "background_shift"):
                np.testing.assert_array_equal(part.window(field, number)[:-1], getattr(clip, field))
            action = part.window("action", number) if labels_per_frame else part.array("action")[number]
            np.testing.assert_array_equal(action, clip.action)
            assert part.array("identity")[number] == clip.identity
            assert part.names[number] == clip.name


def test_windows_stay_inside_their_clip(toy: Toy) -> None:
    part = toy.store.split("train")
    whole = part.frames(1)
    assert part.lengths[1] == 10
    np.testing.assert_array_equal(part.frames(1, start=1, length=5, stride=2), whole[1::2])
    np.testing.assert_array_equal(part.frames(1, start=3, stride=4), whole[3::4])
    for start, length, stride in ((0, 11, 1), (2, 5, 2), (-1, 2, 1), (0, 0, 1), (10, 1, 1)):
        with pytest.raises(IndexError, match="clip 1 has 10 frames"):
            part.frames(1, start, length, stride)


def test_is_read_once_and_then_only_opened(toy: Toy) -> None:
    assert toy.log is not None
    lines = toy.log.read_text()
    assert len(lines.splitlines()) == 3 * toy.clips
    Toy(root=str(toy.root), log=toy.log).prepare_data()
    assert toy.log.read_text() == lines
    assert not leftovers(toy)


def test_another_source_is_another_store(toy: Toy) -> None:
    other = Toy(root=str(toy.root), clips=4)
    other.prepare_data()
    assert other.store_folder() != toy.store_folder()
    assert len(other.store.split("val")) == 4
    assert Toy(root=str(toy.root), clip_length=3, seed=5, flip=True).store_folder() == toy.store_folder()


def test_setup_without_prepare_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vdsm-glass prepare toy"):
        Toy(root=str(tmp_path)).setup()


def test_can_be_sent_to_another_process(toy: Toy) -> None:
    part = toy.store.split("train")
    frames, _ = part.frames(3), part.names
    sent = pickle.dumps(part)
    assert len(sent) < 5000, "the clips themselves were sent"
    np.testing.assert_array_equal(pickle.loads(sent).frames(3), frames)


@pytest.mark.parametrize("file", ["train/video.bin", "val/identity.bin", "test/length.bin", "train/name.jsonl"])
def test_truncated_file_is_named_and_the_store_built_again(
    toy: Toy, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = toy.store_folder() / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedStoreError, match=rf"{path} has {len(whole) - 1} bytes, expected {len(whole)}"):
        Store.open(toy.store_folder(), locate(toy).source)
    toy.prepare_data()
    assert f"{path} has {len(whole) - 1} bytes" in caplog.text
    assert path.read_bytes() == whole


def test_missing_file_and_broken_manifest_are_mended(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    (toy.store_folder() / "train" / "video.bin").unlink()
    toy.prepare_data()
    assert "video.bin is missing" in caplog.text
    manifest = toy.store_folder() / MANIFEST
    manifest.write_text(manifest.read_text()[:100])
    toy.prepare_data()
    assert "manifest.json is not JSON" in caplog.text
    toy.store.verify(full=True)


def test_a_flipped_bit_is_found_by_the_full_check(toy: Toy) -> None:
    path = toy.store_folder() / "val" / "video.bin"
    data = bytearray(path.read_bytes())
    data[1234] ^= 4
    path.write_bytes(data)
    toy.store.verify()
    with pytest.raises(DamagedStoreError, match=r"val/video\.bin has changed"):
        toy.store.verify(full=True)


def test_lengths_that_do_not_add_up_are_damage(toy: Toy) -> None:
    path = toy.store_folder() / "train" / "length.bin"
    path.write_bytes(np.full(toy.clips, 999, "<i8").tobytes())
    with pytest.raises(DamagedStoreError, match="do not add up"):
        Store.open(toy.store_folder(), locate(toy).source)


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path))
    precious = module.store_folder() / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("chapter 1")
    with pytest.raises(DataError, match="not a clip store"):
        module.prepare_data()
    assert precious.read_text() == "chapter 1"


def test_a_damaged_store_with_a_foreign_file_is_not_removed(toy: Toy) -> None:
    precious = toy.store_folder() / "train" / "notes.txt"
    precious.write_text("mine")
    (toy.store_folder() / "train" / "video.bin").unlink()
    with pytest.raises(DataError, match=r"notes\.txt is not part of one"):
        toy.prepare_data()
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"format": "tar"}, "format 'tar'"), ({"version": 99}, "version 99"), ({"source": {"clips": 1}}, "made from")],
)
def test_a_store_of_another_kind_is_refused(toy: Toy, change: dict, message: str) -> None:
    path = toy.store_folder() / MANIFEST
    text = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        toy.prepare_data()
    assert path.read_text() == text


@pytest.mark.parametrize("field", ["name", "length", "video"])
def test_a_manifest_that_has_lost_a_column_is_refused(toy: Toy, field: str) -> None:
    path = toy.store_folder() / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["splits"]["test"]["columns"][field]
    path.write_text(json.dumps(manifest))
    with pytest.raises(DamagedStoreError, match=f"no {field} of"):
        Store.open(toy.store_folder(), locate(toy).source)


def test_a_manifest_with_a_number_beyond_all_is_refused(toy: Toy) -> None:
    path = toy.store_folder() / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["splits"]["test"]["clips"] = float("inf")
    path.write_text(json.dumps(manifest))
    with pytest.raises(DamagedStoreError, match="cannot convert float infinity"):
        Store.open(toy.store_folder(), locate(toy).source)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_manifest_makes_it_fail_in_an_unnamed_way(toy: Toy, data: st.DataObject) -> None:
    manifest = json.loads((toy.store_folder() / MANIFEST).read_text())
    folder = toy.store_folder()
    place = manifest
    while isinstance(place, dict):
        key = data.draw(st.sampled_from(sorted(place)))
        parent, place = place, place[key]
        if data.draw(st.booleans()):
            break
    anything = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3) | st.just({})
    parent[key] = data.draw(anything)
    original = (folder / MANIFEST).read_bytes()
    try:
        (folder / MANIFEST).write_text(json.dumps(manifest))
        try:
            store = Store.open(folder, locate(toy).source)
        except DataError:
            return
        for split in SPLITS:
            for clip in range(len(store.split(split))):
                store.split(split).frames(clip)
    finally:
        (folder / MANIFEST).write_bytes(original)


class Breaking(Toy):
    """Ends badly in the middle."""

    def read(self, split: Split) -> Iterator[Clip]:
        for number, clip in enumerate(super().read(split)):
            if split == "val" and number == 3:
                self.end()
            yield clip

    def end(self) -> None:
        raise DataError("clip 3 is truncated")


class Killed(Breaking):
    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Toy):
    def read(self, split: Split) -> Iterator[Clip]:
        for clip in super().read(split):
            time.sleep(0.02)
            yield clip


def prepare(kind: type[Toy], root: Path) -> None:
    kind(root=str(root), log=root / "log").prepare_data()


def test_an_error_while_reading_leaves_nothing(tmp_path: Path) -> None:
    module = Breaking(root=str(tmp_path))
    with pytest.raises(DataError, match="clip 3 is truncated"):
        module.prepare_data()
    assert not leftovers(module)
    assert not module.store_folder().exists()


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    assert exit_codes(prepare, (Killed, tmp_path), fork=True) == [-signal.SIGKILL]
    module = Toy(root=str(tmp_path))
    assert len(leftovers(module)) == 1
    assert not module.store_folder().exists()
    module.prepare_data()
    assert not leftovers(module)
    module.store.verify(full=True)


def test_two_processes_at_once_both_end_well_and_one_reads(tmp_path: Path) -> None:
    assert exit_codes(prepare, *[(Slow, tmp_path)] * 2, fork=True) == [0, 0]
    module = Toy(root=str(tmp_path))
    assert len((tmp_path / "log").read_text().splitlines()) == 3 * module.clips
    assert not leftovers(module)
    module.store.verify(full=True)


def test_the_slower_of_two_machines_uses_the_store_of_the_faster(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Locks may not reach other machines: here the other one finishes while this one is still reading."""

    class Overtaken(Toy):
        def read(self, split: Split) -> Iterator[Clip]:
            yield from super().read(split)
            if split == "test":
                elsewhere = tmp_path / "elsewhere"
                Toy(root=str(elsewhere)).prepare_data()
                (elsewhere / "stores" / self.store_folder().name).rename(self.store_folder())

    caplog.set_level(logging.INFO)
    module = Overtaken(root=str(tmp_path))
    module.prepare_data()
    assert "Another machine has built" in caplog.text
    assert not leftovers(module)
    module.store.verify(full=True)


def test_memory_stays_at_a_few_clips(tmp_path: Path) -> None:
    class Long(Toy):
        def read(self, split: Split) -> Iterator[Clip]:
            for _ in range(self.clips):
                yield Clip(video=np.zeros((32, 64, 64, 3), np.uint8))

    module = Long(root=str(tmp_path), clips=40, size=(64, 64))
    clip_bytes = 32 * 64 * 64 * 3
    Toy(root=str(tmp_path)).prepare_data()  # so that imports are not counted
    tracemalloc.start()
    try:
        module.prepare_data()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert module.store.bytes > 100 * clip_bytes
    assert peak < 5 * clip_bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": np.zeros((9, 16, 24, 3), np.float32)}, r"'.*clip ä 1' is float32 \(9, 16, 24, 3\); expected uint8"),
        ({"video": np.zeros((9, 16, 16, 3), np.uint8)}, r"expected uint8 \(frames, 16, 24, 3\)"),
        ({"video": np.zeros((0, 16, 24, 3), np.uint8)}, "at least one frame"),
        ({"mask": None}, "has the fields"),
        ({"mask": np.zeros((2, 16, 24), np.uint8)}, "10 frames, but 2 rows of mask"),
        ({"action": np.zeros(10, int)}, "has the fields"),
    ],
)
def test_a_malformed_clip_is_named(tmp_path: Path, change: dict, message: str) -> None:
    class Malformed(Toy):
        def clip(self, split: Split, number: int) -> Clip:
            clip = super().clip(split, number)
            return replace(clip, **change) if number == 1 else clip

    module = Malformed(root=str(tmp_path))
    with pytest.raises(DataError, match=message):
        module.prepare_data()
    assert not leftovers(module)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "stores").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"stores cannot be written.*--data\.root"):
        Toy(root=str(tmp_path)).prepare_data()

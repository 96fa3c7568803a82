"""Building a store: in several processes, taken up after a kill, from files that may be gone or come later."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import data_modules
from data_modules.base import Split, VideoDataModule
from data_modules.common.errors import DataError, DownloadError, MissingSourceError
from data_modules.common.executors import AHEAD
from data_modules.store import writer as store_writer
from data_modules.store.build import locate, open_or_build
from data_modules.store.clip_source import Clip, Labels, StandIn
from data_modules.store.format import MANIFEST, SPLITS
from data_modules.store.parallel_reading import UnitEnd, read_units
from tests.data_modules.toy import Toy, ToyUnits
from tests.processes import exit_codes


@pytest.fixture(autouse=True)
def _journal_of_every_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "JOURNAL_SECONDS", 0)


def contents(module: VideoDataModule) -> dict[str, bytes | dict[str, Any]]:
    """All of a store."""
    folder = module.store_folder()
    files: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return files | {MANIFEST: json.loads(files[MANIFEST])}


def leftovers(module: VideoDataModule) -> list[Path]:
    """What is beside the store, but for locks."""
    return [path for path in module.stores.iterdir() if path.suffix != ".lock" and path != module.store_folder()]


def read(module: Toy) -> list[str]:
    """The clips that were read, as often as they were."""
    assert module.log is not None
    return module.log.read_text().splitlines() if module.log.exists() else []


def forked(function: Callable[..., Any], *arguments: Any) -> int:
    """The exit code of a process of its own."""
    return exit_codes(function, arguments, fork=True)[0]


def build(kind: type[Toy], root: Path, workers: int = 0, **options: Any) -> None:
    open_or_build(kind(root=str(root), log=root / "log", **options), workers=workers)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process that is not interrupted builds."""
    module = ToyUnits(root=str(tmp_path_factory.mktemp("expected")))
    open_or_build(module, workers=0)
    return contents(module)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_processes_builds_the_same_store(tmp_path: Path, expected: dict[str, Any], workers: int) -> None:
    module = ToyUnits(root=str(tmp_path), log=tmp_path / "log")
    told: dict[str, int] = dict.fromkeys(SPLITS, 0)

    def on_progress(split: Split, clips: int) -> None:
        told[split] += clips

    open_or_build(module, workers=workers, on_progress=on_progress)
    assert contents(module) == expected
    assert sorted(read(module)) == sorted(f"{split} {number}" for split in SPLITS for number in range(10))
    assert told == dict.fromkeys(SPLITS, 10)
    assert module.store.split("val").skipped == {"too dull": 5}


class Interrupted(ToyUnits):
    """Meets its end while it reads clip 5 of the validation."""

    end: Callable[[], None]

    def clip(self, split: Split, number: int) -> Clip:
        if (split, number) == ("val", 5):
            self.end()
        return super().clip(split, number)


class Killed(Interrupted):
    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class KilledOnce(Interrupted):
    def end(self) -> None:
        try:
            (self.root / "killed").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class Stopped(Interrupted):
    def end(self) -> None:
        raise KeyboardInterrupt


class Damaged(Interrupted):
    def end(self) -> None:
        raise DataError("clip 5 is truncated")


def test_a_killed_build_is_taken_up(tmp_path: Path, expected: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert forked(build, Killed, tmp_path) == -signal.SIGKILL
    module = ToyUnits(root=str(tmp_path), log=tmp_path / "log")
    assert not module.store_folder().exists()
    (partial,) = leftovers(module)
    (partial / ".journal-x.json").write_text("{")  # killed while the journal was written
    done = len(read(module))
    told = []
    with caplog.at_level(logging.INFO):
        open_or_build(module, workers=0, on_progress=lambda split, clips: told.append((split, clips)))
    assert contents(module) == expected
    assert read(module)[done:] == [f"val {n}" for n in range(4, 10)] + [f"test {n}" for n in range(10)]
    assert "after 14 clips of an interrupted build" in caplog.text
    assert told[0] == ("train", 10)
    assert ("val", 4) in told
    assert not leftovers(module)
    module.store.verify(full=True)


def test_a_build_in_several_processes_is_taken_up_too(tmp_path: Path, expected: dict[str, Any]) -> None:
    def killed(root: Path) -> None:
        def on_progress(split: Split, clips: int) -> None:
            if split == "val" and clips:
                os.kill(os.getpid(), signal.SIGKILL)

        open_or_build(ToyUnits(root=str(root)), workers=2, on_progress=on_progress)

    assert forked(killed, tmp_path) == -signal.SIGKILL
    module = ToyUnits(root=str(tmp_path), log=tmp_path / "log")
    open_or_build(module, workers=2)
    assert contents(module) == expected
    assert not any(line.startswith("train") for line in read(module))


class Endless(ToyUnits):
    """Reads one clip and then none for an hour; a file named after each reading process says so."""

    def read_unit(self, unit: tuple[Split, int]) -> Iterator[Clip]:
        yield next(super().read_unit(unit))
        (self.root / f"reader-{os.getpid()}").touch()
        time.sleep(3600)


def test_reading_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    parent = multiprocessing.get_context("fork").Process(target=build, args=(Endless, tmp_path, 3))
    parent.start()
    readers: list[int] = []
    try:
        wait_until(lambda: len(list(tmp_path.glob("reader-*"))) == 3)
        readers = [int(file.name.removeprefix("reader-")) for file in tmp_path.glob("reader-*")]
        parent.kill()
        wait_until(lambda: not any(map(runs, readers)))
    finally:
        parent.kill()
        for reader in filter(runs, readers):
            os.kill(reader, signal.SIGKILL)


def wait_until(done: Callable[[], bool]) -> None:
    """Raises: TimeoutError where that takes a minute."""
    end = time.monotonic() + 60
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the reading processes did not start, or did not end")
        time.sleep(0.05)


def runs(process: int) -> bool:
    """Whether `process` is there and not merely waiting to be buried by its parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_ctrl_c_leaves_what_was_done_and_an_error_does_not(tmp_path: Path) -> None:
    for kind, error, left in ((Stopped, KeyboardInterrupt, 1), (Damaged, DataError, 0)):
        module = kind(root=str(tmp_path))
        with pytest.raises(error):
            open_or_build(module, workers=0)
        assert len(leftovers(module)) == left
        assert not module.store_folder().exists()


@pytest.mark.parametrize("harm", ["a flipped bit", "a lost end", "a lost file", "a torn journal"])
def test_a_partial_store_that_changed_is_built_from_the_beginning(
    tmp_path: Path, expected: dict[str, Any], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    module = ToyUnits(root=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        open_or_build(Stopped(root=str(tmp_path)), workers=0)
    (partial,) = leftovers(module)
    file = partial / ("journal.json" if harm == "a torn journal" else "train/video.bin")
    content = bytearray(file.read_bytes())
    if harm == "a lost file":
        file.unlink()
    elif harm == "a flipped bit":
        content[77] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2])
    open_or_build(module, workers=0)
    assert "building from the beginning" in caplog.text
    assert contents(module) == expected
    assert not leftovers(module)


def test_a_source_that_is_read_in_one_go_is_taken_up_between_splits(tmp_path: Path) -> None:
    class Broken(Toy):
        def clip(self, split: Split, number: int) -> Clip:
            if (split, number) == ("val", 5):
                raise KeyboardInterrupt
            return super().clip(split, number)

    with pytest.raises(KeyboardInterrupt):
        open_or_build(Broken(root=str(tmp_path)))
    module, whole = Toy(root=str(tmp_path), log=tmp_path / "log"), Toy(root=str(tmp_path / "whole"))
    open_or_build(module)
    open_or_build(whole)
    assert contents(module) == contents(whole)
    assert {line.split()[0] for line in read(module)} == {"val", "test"}


def test_an_error_in_another_process_is_the_users_error(tmp_path: Path) -> None:
    module = Damaged(root=str(tmp_path))
    with pytest.raises(DataError, match=r"^clip 5 is truncated$"):
        open_or_build(module, workers=2)
    assert not leftovers(module)


def test_what_a_killed_process_was_reading_is_read_again(
    tmp_path: Path, expected: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    module = KilledOnce(root=str(tmp_path))
    open_or_build(module, workers=2)
    assert contents(module) == expected
    assert caplog.text.count("is done again") == 1


def test_a_clip_that_kills_every_process_is_an_error(tmp_path: Path) -> None:
    module = Killed(root=str(tmp_path))
    with pytest.raises(DataError, match=r"was killed 3 times.*--workers 1"):
        open_or_build(module, workers=2)
    assert not leftovers(module)


@pytest.mark.parametrize("kind", [pytest.param(ToyUnits, marks=pytest.mark.thorough), KilledOnce, Damaged])
def test_a_cluster_builds_the_same_store(
    kind: type[Toy], tmp_path: Path, expected: dict[str, Any], dask_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers began in another folder; one of them is killed."""
    monkeypatch.chdir(tmp_path)
    module = kind(root=".", log=Path("log"))
    if kind is Damaged:
        with pytest.raises(DataError, match=r"^clip 5 is truncated$"):
            open_or_build(module, cluster=dask_cluster)
        assert not leftovers(module)
        return
    open_or_build(module, cluster=dask_cluster)
    assert contents(module) == expected
    assert set(read(module)) == {f"{split} {number}" for split in SPLITS for number in range(10)}


def test_processes_do_not_read_far_ahead(tmp_path: Path) -> None:
    module = ToyUnits(root=str(tmp_path), clips=100, log=tmp_path / "log")
    units = module.units("train")
    items = read_units(module, "train", units, folder=tmp_path / "parts", workers=2)
    next(items)
    before = -1
    while before != (before := len(read(module))):
        time.sleep(0.3)
    assert before <= 2 * (1 + 2 * (AHEAD + 1))  # a unit has two clips
    rest = list(items)
    assert sum(isinstance(item, UnitEnd) for item in rest) == 50
    assert [item.name for item in rest if isinstance(item, Clip)] == [f"train/clip ä {n}" for n in range(1, 100)]


class Large(ToyUnits):
    """Clips of 3 MB in two units a split."""

    def units(self, split: Split) -> list[tuple[Split, int]]:
        return [(split, first) for first in (0, self.clips // 2)]

    def read_unit(self, unit: tuple[Split, int]) -> Iterator[Clip]:
        for number in range(max(1, self.clips // 2)):
            yield Clip(video=np.full((64, 128, 128, 3), number % 256, np.uint8))


def peak_of(root: Path, clips: int) -> int:
    """Most bytes that building a store of `clips` clips took, in this process and those that it started."""
    open_or_build(Large(root=str(root), clips=clips, size=(128, 128)), workers=2)
    used = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    (root / f"peak-{clips}").write_text(str(max(used) * 1024))
    return 0


def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    """40 times the clips, 360 MB, at the same peak within a few clips' size."""
    for clips in (1, 40):
        assert forked(peak_of, tmp_path, clips) == 0
    small, large = (int((tmp_path / f"peak-{clips}").read_text()) for clips in (1, 40))
    assert large - small < 10 * 64 * 128 * 128 * 3


def test_two_processes_that_read_in_parallel_both_end_well(tmp_path: Path, expected: dict[str, Any]) -> None:
    assert exit_codes(build, *[(ToyUnits, tmp_path, 2)] * 2, fork=True) == [0, 0]
    module = ToyUnits(root=str(tmp_path), log=tmp_path / "log")
    assert len(read(module)) == 30
    assert contents(module) == expected


@pytest.mark.parametrize("name", data_modules.DATASETS)
def test_datasets_can_be_read_in_processes_that_are_not_forked(tmp_path: Path, name: str) -> None:
    """Where processes are spawned, the module is sent to them."""
    kind = getattr(data_modules, data_modules.DATASETS[name].rpartition(".")[2])
    module = kind(root=str(tmp_path), tiny=True, clip_length=4)
    module.obtain()
    unit = module.units("test")[-1]
    assert list(module.units("test")) == list(module.units("test"))
    here = list(module.read_unit(unit))
    there = list(pickle.loads(pickle.dumps(module)).read_unit(pickle.loads(pickle.dumps(unit))))
    assert len(here) == len(there) > 0
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.video, other.video)
        assert (one.name, one.identity) == (other.name, other.identity)


class Filed(ToyUnits):
    """A toy whose clips are those of a file; the internet is a folder called `internet`."""

    name = "filed"

    def __init__(self, *, file: str | None = None, download: bool | None = None, **kwargs: Any) -> None:
        super().__init__(clip_length=4, tiny=True, **kwargs)
        self.file = file
        self.download = download

    @property
    def location(self) -> str:
        return self.file or "file"

    @property
    def path(self) -> Path:
        return Path(self.file) if self.file else self.root / "file"

    def fingerprint(self) -> dict[str, Any]:
        if not self.path.is_file():
            raise MissingSourceError(f"{self.path} is not there. Get it.")
        return {"file": self.path.read_text()}

    def draw_tiny(self) -> None:
        """Nothing: the toy needs no files."""

    def fetch(self) -> bool:
        if not (self.root / "internet").is_dir():
            raise DownloadError("No network.")
        self.path.write_text("from the internet")
        return True

    def stand_in(self) -> StandIn | None:
        return None if self.file else StandIn({"file": "drawn"}, "These are drawings.")

    def describe_labels(self) -> Labels:
        names = [f"{self.path.read_text() if self.path.is_file() else 'drawn'} {number}" for number in range(3)]
        return Labels(identity=names, attributes={"size": [5, 6, 7]})


def test_a_store_is_used_when_its_files_are_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("real")
    Filed(root=str(tmp_path)).prepare_data()
    (tmp_path / "file").unlink()
    module = Filed(root=str(tmp_path))
    with caplog.at_level(logging.INFO):
        module.prepare_data()
    assert "files of filed are not there" in caplog.text
    assert "drawings" not in caplog.text
    module.setup()
    assert module.identity_names == ["real 0", "real 1", "real 2"]
    assert module.action_names == ["action 0", "action 1", "action 2", "action 3"]
    assert module.attributes(np.array([[2, 0]]))["size"].tolist() == [[7, 5]]
    assert len(list(module.test_dataloader())) > 0


def test_a_store_is_not_used_for_files_elsewhere_or_other_options(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("real")
    Filed(root=str(tmp_path)).prepare_data()
    (tmp_path / "file").unlink()
    with pytest.raises(MissingSourceError, match="misspelt is not there"):
        Filed(root=str(tmp_path), file="misspelt").prepare_data()
    assert locate(Filed(root=str(tmp_path), clips=4)).stand_in is not None


def test_files_that_changed_make_another_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    Filed(root=str(tmp_path)).prepare_data()
    (tmp_path / "file").write_text("two")
    module = Filed(root=str(tmp_path))
    module.prepare_data()
    assert module.identity_names[0] == "two 0"
    (tmp_path / "file").unlink()
    assert Filed(root=str(tmp_path)).identity_names[0] == "two 0", "the newest is used"


def test_a_damaged_store_without_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("real")
    module = Filed(root=str(tmp_path))
    module.prepare_data()
    (tmp_path / "file").unlink()
    (module.store_folder() / "val" / "mask.bin").write_bytes(b"")
    with pytest.raises(MissingSourceError, match="Get it"):
        Filed(root=str(tmp_path)).prepare_data()
    assert (module.store_folder() / "train" / "video.bin").is_file()


def test_real_files_replace_the_stand_in_once_they_are_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Filed(root=str(tmp_path)).prepare_data()
    assert "These are drawings" in caplog.text
    (tmp_path / "file").write_text("real")
    module = Filed(root=str(tmp_path))
    module.prepare_data()
    assert module.identity_names[0] == "real 0"


@pytest.mark.parametrize(
    ("option", "asked", "online", "identity"),
    [
        (None, True, True, "from the internet 0"),
        (None, False, True, "drawn 0"),  # training downloads nothing unasked
        (True, False, True, "from the internet 0"),
        (False, True, True, "drawn 0"),
        (None, True, False, "drawn 0"),
        (True, True, False, None),
        (True, False, False, None),
    ],
)
def test_what_is_downloaded_and_when(
    tmp_path: Path,
    option: bool | None,
    asked: bool,
    online: bool,
    identity: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if online:
        (tmp_path / "internet").mkdir()
    module = Filed(root=str(tmp_path), download=option)
    if identity is None:
        with pytest.raises(DownloadError, match="No network"):
            open_or_build(module, download=asked)
        return
    open_or_build(module, download=asked)
    assert module.identity_names[0] == identity
    assert ("No network" in caplog.text) == (asked and not online)
    assert ("These are drawings" in caplog.text) == (identity == "drawn 0")

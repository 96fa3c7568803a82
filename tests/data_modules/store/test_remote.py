"""Stores elsewhere: what is read, what is kept, and what is said where that fails."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from data_modules.common.errors import DataError
from data_modules.store.format import MANIFEST
from tests.data_modules.toy import Toy


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing; of `video.bin` it sends half where `cut` is set."""

    cut = False

    def log_message(self, *_: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2] if self.cut and self.path.endswith("video.bin") else content)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A store that another machine built from files that this one does not have."""
    module = Toy(root=str(tmp_path / "there"))
    module.prepare_data()
    return module.store_folder()


@pytest.fixture(params=["memory", "http", "file"])
def url(request: pytest.FixtureRequest, built: Path) -> Iterator[str]:
    if request.param == "memory":
        system = fsspec.filesystem("memory")
        system.put(str(built), "/bucket/toy", recursive=True)
        yield "memory://bucket/toy"
        system.rm("/bucket", recursive=True)
    elif request.param == "http":
        with serving(built) as address:
            yield address
    else:
        yield str(built)


class serving:  # noqa: N801 (a context manager)
    """The address of a web server with the files of a folder."""

    def __init__(self, folder: Path, handler: type[Quiet] = Quiet) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def here(tmp_path: Path, url: str, **options: Any) -> Toy:
    return Toy(root=str(tmp_path / "here"), store_url=url, batch_size=3, clip_length=4, **options)


def cached(tmp_path: Path) -> set[str]:
    return {file.name for file in (tmp_path / "here" / "cache").glob("*/*")}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_those_of_a_store_on_the_disk(tmp_path: Path, url: str, num_workers: int) -> None:
    far = here(tmp_path, url, num_workers=num_workers)
    near = Toy(root=str(tmp_path / "there"), batch_size=3, clip_length=4)
    far.prepare_data()
    far.setup()
    near.setup()
    for one, other in zip(far.train_dataloader(), near.train_dataloader(), strict=True):
        assert one.video.equal(other.video)
        assert one.action.equal(other.action)
    assert far.identity_names == near.identity_names
    assert far.store.split("train").names == near.store.split("train").names
    assert not (tmp_path / "here" / "stores").exists()
    far.store.verify(full=True)


def test_a_file_is_fetched_once_and_what_is_not_used_never(tmp_path: Path, built: Path) -> None:
    here(tmp_path, str(built)).store.split("val").frames(0)
    assert "mask.bin" not in cached(tmp_path)
    for split in ("train", "val", "test"):
        (built / split / "video.bin").unlink()
    again = here(tmp_path, str(built)).store
    assert again.split("val").frames(0).shape[1] == 3
    with pytest.raises(DataError, match=r"train/video\.bin cannot be read"):
        again.split("train").frames(0)


def test_the_file_that_was_opened_longest_ago_goes_first(tmp_path: Path, built: Path) -> None:
    sizes = {split: (built / split / "video.bin").stat().st_size for split in ("train", "val", "test")}
    room = (sizes["train"] + sizes["val"] + 4000) / 1e9  # 4000: the small files
    store = here(tmp_path, str(built), cache_gb=room).store
    order = [store.split(split).columns["video"] for split in ("train", "val")]
    _, held, _ = (column.open() for column in (*order, order[0]))
    before = held.copy()
    store.split("test").columns["video"].open()
    assert order[0].path.is_file()
    assert not order[1].path.exists()
    np.testing.assert_array_equal(held, before, "a process that has it open reads on")
    np.testing.assert_array_equal(order[1].open(), before, "it is fetched again")
    assert sum(file.stat().st_size for file in (tmp_path / "here" / "cache").glob("*/*")) <= room * 1e9


def test_what_a_killed_process_left_is_removed(tmp_path: Path, built: Path) -> None:
    left = tmp_path / "here" / "cache" / "tmpabc" / "video.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    here(tmp_path, str(built)).store.split("val").frames(0)
    assert not left.parent.exists()


def test_a_cache_that_is_smaller_than_a_file_says_what_it_needs(tmp_path: Path, built: Path) -> None:
    store = here(tmp_path, str(built), cache_gb=5e-6).store
    with pytest.raises(
        DataError, match=r"train/video\.bin has \d+ bytes, and the cache holds 5000.*--data\.cache_gb 0\."
    ):
        store.split("train").frames(0)


def test_a_download_that_ends_early_leaves_nothing(tmp_path: Path, built: Path) -> None:
    with serving(built, type("Cut", (Quiet,), {"cut": True})) as address:
        store = here(tmp_path, address).store
        with pytest.raises(DataError, match=rf"^{address}/train/video\.bin cannot be read"):
            store.split("train").frames(0)
    assert "video.bin" not in cached(tmp_path)


def test_a_file_that_changed_is_named(tmp_path: Path, built: Path) -> None:
    store = here(tmp_path, str(built)).store
    file = built / "train" / "video.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(DataError, match=r"train/video\.bin is not what its manifest says"):
        store.split("train").frames(0)
    assert "video.bin" not in cached(tmp_path)


def test_a_server_that_is_gone_is_named(tmp_path: Path, built: Path) -> None:
    with serving(built) as address:
        store = here(tmp_path, address).store
    with pytest.raises(DataError, match=rf"^{address}/train/\w+\.bin cannot be read: .*repeat the command"):
        store.split("train").frames(0)
    with pytest.raises(DataError, match=rf"^{address}/manifest\.json cannot be read"):
        _ = here(tmp_path, address).store


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://nothing", r"memory://nothing/manifest\.json cannot be read"),
        ("nonsense://a", r"nonsense://a/manifest\.json cannot be read: Protocol not known"),
        ("s3://bucket/toy", r"s3://bucket/toy/manifest\.json cannot be read: Install s3fs"),
    ],
)
def test_an_address_without_a_store_is_named(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        here(tmp_path, url).prepare_data()


def test_a_store_of_other_options_is_refused(tmp_path: Path, built: Path) -> None:
    with pytest.raises(DataError, match=r"other options: clips is 10, asked for 7\."):
        here(tmp_path, str(built), clips=7).prepare_data()


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content.clear(),
        lambda content: content.update(version=1),
        lambda content: content["splits"]["train"]["columns"]["video"].update(sha256="../../elsewhere"),
        lambda content: content["splits"]["train"]["columns"].update({"../x": {"per": "clip", "shape": []}}),
    ],
)
def test_a_manifest_that_is_none_is_refused(harm: Any, tmp_path: Path, built: Path) -> None:
    content = json.loads((built / MANIFEST).read_text("utf-8"))
    harm(content)
    (built / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="is not the manifest of a store"):
        here(tmp_path, str(built)).prepare_data()
    assert cached(tmp_path) == set() if (tmp_path / "here").exists() else True


def test_a_store_survives_the_loss_of_what_it_was_made_from(tmp_path: Path, built: Path) -> None:
    """... because it is named, not looked for."""
    moved = tmp_path / "moved"
    shutil.move(built, moved)
    assert len(here(tmp_path, str(moved)).store.split("train")) == 10

"""Files from strangers, whatever the format: one error that names the file, no memory, no store, no code.

What only one format can suffer is in `sources/test_*.py`, with the format.
"""

from __future__ import annotations

import re
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_modules.bair import BAIR
from data_modules.base import VideoDataModule
from data_modules.common.errors import DataError
from data_modules.drawings.tiny import idx_bytes
from data_modules.drawings.tiny_video import example_bytes, record_bytes, write_film
from data_modules.folder import VideoFolder
from data_modules.moving_mnist import MovingMNIST
from data_modules.mug import MUG
from data_modules.sources.frames import read_clip, read_picture
from data_modules.sources.idx import read_idx
from data_modules.sources.lpc import SHEET_SIZE, read_sheet
from data_modules.sources.matches import COLUMNS, read_annotations, read_splits
from data_modules.sources.mug import EMOTIONS, MugArchive
from data_modules.sources.npz import read_npz
from data_modules.sources.tfrecord import records_in
from data_modules.sources.video import open_film
from data_modules.sprites import Sprites
from data_modules.store.build import open_or_build
from data_modules.store.format import Split
from data_modules.tennis import Tennis
from data_modules.w_sprites import WSprites
from tests.data_modules.sources import expect_only


def film(path: Path) -> None:
    with open_film(path) as opened:
        for picture in opened.frames():
            picture.close()


def records(path: Path) -> None:
    for record in records_in(path):
        record.features({"a"})


# What reads a format, and what its files are called.
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "idx": (lambda path: read_idx(path, dimensions=3), ""),
    "idx.gz": (lambda path: read_idx(path, dimensions=3), ".gz"),
    "npz": (read_npz, ".npz"),
    "mug": (lambda path: MugArchive(path.parent, EMOTIONS), ".npz"),
    "picture": (read_picture, ".png"),
    "clip": (lambda path: read_clip([path], 8, 8), ".jpg"),
    "sheet": (read_sheet, ".png"),
    "film": (film, ".mp4"),
    "tfrecord": (records, ".tfrecords"),
    "annotations": (read_annotations, ".csv"),
    "splits": (read_splits, ".csv"),
}


@cache
def contents() -> dict[str, bytes]:
    """A file of each kind as it should be."""
    from io import BytesIO
    from tempfile import TemporaryDirectory

    def saved(write: Callable[[Any], object]) -> bytes:
        write(stream := BytesIO())
        return stream.getvalue()

    with TemporaryDirectory() as folder:
        write_film(Path(folder) / "a.mp4", np.zeros((3, 16, 16, 3), dtype=np.uint8))
        mp4 = (Path(folder) / "a.mp4").read_bytes()
    return {
        "nothing": b"",
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "zeros": bytes(4096),
        "idx": idx_bytes(np.zeros((2, 3, 3), dtype=np.uint8)),
        "npz": saved(lambda stream: np.savez(stream, a=np.zeros(3))),
        "picture": saved(lambda stream: Image.new("RGB", (9, 9)).save(stream, "PNG")),
        "sheet": saved(lambda stream: Image.new("RGBA", SHEET_SIZE).save(stream, "PNG")),
        "film": mp4,
        "tfrecord": record_bytes(example_bytes({"a": b"1"})),
        "annotations": (",".join(COLUMNS) + "\na.mp4,0,1,0,0,8,8\n").encode(),
        "splits": b"sequence,split\n0,train\n",
    }


SAME = {"clip": {"picture", "sheet"}, "picture": {"sheet"}, "tfrecord": {"nothing"}}
"""Which other content a reader may take: a sheet is a picture; an empty file of records has none."""


@pytest.mark.parametrize("content", contents())
@pytest.mark.parametrize("reader", READERS)
def test_another_format_is_refused_by_name(tmp_path: Path, reader: str, content: str) -> None:
    if content == reader or content in SAME.get(reader, ()):
        return
    read, suffix = READERS[reader]
    path = tmp_path / f"données_{reader}{suffix}"
    path.write_bytes(contents()[content])
    with pytest.raises(DataError, match=f"{tmp_path if reader == 'mug' else path.name}"):
        read(path)


@pytest.mark.parametrize("reader", READERS)
def test_folders_and_missing_files_are_refused_by_name(tmp_path: Path, reader: str) -> None:
    read, suffix = READERS[reader]
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(DataError, match="folder"):
        read(tmp_path / f"folder{suffix}")
    if reader != "mug":  # which is given the folder, not the file
        with pytest.raises(DataError, match="missing"):
            read(tmp_path / f"missing{suffix}")


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader in contents()])
@given(keep=st.floats(0, 1), tail=st.binary(max_size=64))
@settings(max_examples=25, deadline=None)
def test_any_end_is_an_error_by_name_or_readable(
    tmp_path_factory: pytest.TempPathFactory, reader: str, keep: float, tail: bytes
) -> None:
    read, suffix = READERS[reader]
    path = tmp_path_factory.mktemp("hostile") / f"a{suffix}"
    content = contents()[reader]
    path.write_bytes(content[: int(keep * len(content))] + tail)
    with expect_only(DataError, match=path.name):
        read(path)


@pytest.mark.parametrize("reader", READERS)
def test_a_huge_file_of_nothing_costs_no_memory(tmp_path: Path, reader: str) -> None:
    read, suffix = READERS[reader]
    path = tmp_path / f"a{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 36)  # 64 GiB that take no place
    tracemalloc.start()
    with pytest.raises(DataError, match=path.name):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_names_in_archives_lead_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    array = contents()["npz"]
    (folder / "source.npz").write_bytes(array)
    with zipfile.ZipFile(folder / "source.npz") as source, zipfile.ZipFile(folder / "a.npz", "w") as archive:
        for name in ("../evil.npy", "/tmp/evil_of_test_hostile.npy", "..\\evil.npy"):
            archive.writestr(name, source.read("a.npy"))
        link = zipfile.ZipInfo("link.npy")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    (folder / "source.npz").unlink()
    with pytest.raises(DataError, match=r"a\.npz"):  # for what the link holds
        read_npz(folder / "a.npz")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "here", "a.npz"]
    assert not Path("/tmp/evil_of_test_hostile.npy").exists()


SMALL = {"tiny": True, "size": 16, "clip_length": 2, "batch_size": 1}

# A module that reads a drawn source, and a file of it.
MODULES: dict[str, tuple[Callable[[str], VideoDataModule], str]] = {
    "mmnist": (lambda root: MovingMNIST(root=root, **SMALL), "train-images-idx3-ubyte.gz"),
    "sprites": (lambda root: Sprites(root=root, **SMALL), "hair/1.png"),
    "w_sprites": (lambda root: WSprites(root=root, **SMALL), "body/0.png"),
    "mug tree": (lambda root: MUG(root=root, layout="tree", **SMALL), "001/fear/take001/img_0002.jpg"),
    "mug npz": (lambda root: MUG(root=root, layout="npz", **SMALL), "labels.npz"),
    "tennis folders": (lambda root: Tennis(root=root, **SMALL), "train/00002/00001.png"),
    "tennis videos": (lambda root: Tennis(root=root, layout="videos", **SMALL), "match_00000.mp4"),
    "tennis annotations": (lambda root: Tennis(root=root, layout="videos", **SMALL), "annotations.csv"),
    "bair folders": (lambda root: BAIR(root=root, **SMALL), "train/00003/00001.png"),
    "bair tfrecord": (
        lambda root: BAIR(root=root, layout="tfrecord", **SMALL),
        "softmotion30_44k/train/traj_3_to_5.tfrecords",
    ),
    "folder of films": (lambda root: VideoFolder(root=root, **SMALL), "more/d.webm"),
    "folder of pictures": (lambda root: VideoFolder(root=root, **SMALL), "more/f/00001.png"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sources are drawn, once each."""
    return tmp_path_factory.mktemp("root")


def source(root: Path, name: str) -> tuple[VideoDataModule, Path]:
    """The module of that name, and a file that it reads."""
    make, place = MODULES[name]
    module = make(str(root))
    if not module.folder.is_dir():  # pyright: ignore[reportAttributeAccessIssue]
        module.obtain()
    return module, module.folder / place  # pyright: ignore[reportAttributeAccessIssue]


def assert_nothing_left(root: Path, module: VideoDataModule) -> None:
    left = [path.name for path in (root / "stores").iterdir() if module.store_folder().name in path.name]
    assert left == [f".{module.store_folder().name}.lock"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "not found": lambda content: contents()["html"],
}


@pytest.mark.parametrize("name", MODULES)
def test_a_damaged_source_is_named_and_leaves_no_store(root: Path, name: str) -> None:
    _, path = source(root, name)
    content = path.read_bytes()
    try:
        for spoil in DAMAGES.values():
            path.write_bytes(spoil(content))
            module, _ = source(root, name)
            with pytest.raises(DataError, match=re.escape(path.name)):
                module.prepare_data()
            assert_nothing_left(root, module)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["mug tree", "tennis folders", "bair folders", "bair tfrecord", "folder of films", "folder of pictures"]
)
def test_a_source_that_vanishes_in_mid_read_is_named_and_leaves_no_store(root: Path, name: str) -> None:
    module, path = source(root, name)
    moved = path.with_suffix(".gone")

    def vanish(_: Split, clips: int) -> None:
        if clips and path.exists():
            path.rename(moved)

    try:
        with pytest.raises(DataError, match=f"{re.escape(str(path))}|{re.escape(str(path.parent))}: holds"):
            open_or_build(module, on_progress=vanish)
    finally:
        moved.rename(path)
    assert_nothing_left(root, module)

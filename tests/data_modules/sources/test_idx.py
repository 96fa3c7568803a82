"""IDX files: read exactly, or refused by name."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data_modules.common.errors import DataError
from data_modules.drawings.tiny import idx_bytes, write_mnist
from data_modules.sources.idx import mnist_files, read_idx, read_mnist
from tests.data_modules.sources import expect_only

IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)), zipped=st.booleans())
@settings(max_examples=50, deadline=None)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / ("digits.gz" if zipped else "digits")
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path, dimensions=array.ndim), array)


@given(end=st.integers(0, len(idx_bytes(IMAGES)) - 1), zipped=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_truncated_file_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, end: int, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / ("digits.gz" if zipped else "digits")
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)[:end]) if zipped else idx_bytes(IMAGES)[:end])
    with pytest.raises(DataError, match="digits"):
        read_idx(path, dimensions=3)


@given(end=st.integers(0, len(gzip.compress(idx_bytes(IMAGES))) - 1))
@settings(max_examples=40, deadline=None)
def test_a_truncated_gzip_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    path = tmp_path_factory.mktemp("idx") / "digits.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES))[:end])
    with pytest.raises(DataError, match=r"digits\.gz"):
        read_idx(path, dimensions=3)


@given(position=st.integers(0, 1000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_is_an_error_or_a_pixel(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    damaged = bytearray(idx_bytes(IMAGES))
    damaged[position % len(damaged)] ^= 1 << bit
    path = tmp_path_factory.mktemp("idx") / "digits"
    path.write_bytes(damaged)
    with expect_only(DataError, match=path.name):
        assert read_idx(path, dimensions=3).shape == IMAGES.shape


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"),
        (b"\x89PNG\r\n\x1a\n", "89 50 4e 47"),
        (idx_bytes(IMAGES[0]), "00 00 08 02"),
        (idx_bytes(IMAGES) + b"\0", "more than that"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 28, 28), r"\(0, 28, 28\)"),
    ],
)
def test_wrong_content_is_refused_with_what_was_found(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "digits").write_bytes(content)
    with pytest.raises(DataError, match=found):
        read_idx(tmp_path / "digits", dimensions=3)


def test_a_header_that_lies_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "digits.gz"
    path.write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 1000, 1000, 1000) + b"few"))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"1000000000 bytes .* holds 3"):
        read_idx(path, dimensions=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_absurd_dimensions_are_refused_before_reading(tmp_path: Path) -> None:
    (tmp_path / "digits").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3))
    with pytest.raises(DataError, match="claims dimensions"):
        read_idx(tmp_path / "digits", dimensions=3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        read_idx(tmp_path / "nowhere", dimensions=1)


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(idx_bytes(IMAGES))
    labels.write_bytes(idx_bytes(np.arange(4, dtype=np.uint8)))
    with pytest.raises(DataError, match=r"5 images.* 4 labels"):
        read_mnist(images, labels)
    labels.write_bytes(idx_bytes(np.full(5, 10, dtype=np.uint8)))
    with pytest.raises(DataError, match="label 10"):
        read_mnist(images, labels)


def test_mnist_is_four_files(tmp_path: Path) -> None:
    assert mnist_files(tmp_path) is None
    write_mnist(tmp_path, train=20, test=10)
    files = mnist_files(tmp_path)
    assert files is not None
    images, labels = read_mnist(*files["train"])
    assert images.shape == (20, 28, 28)
    assert labels.shape == (20,)
    files["test"][1].unlink()
    assert mnist_files(tmp_path) is None


def test_the_real_mnist(real_data: Path) -> None:
    files = mnist_files(real_data / "mnist")
    assert files is not None
    images, labels = read_mnist(*files["test"])
    assert images.shape == (10_000, 28, 28)
    np.testing.assert_array_equal(np.bincount(labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])

"""Drawn sources: written whole or not at all, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_modules.drawings.tiny import small_digits, write_once


def test_a_source_is_written_once(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "source"
    write_once(target, lambda folder: (folder / "a").write_text("first"))
    write_once(target, lambda folder: (folder / "a").write_text("second"))
    assert (target / "a").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["source"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_once(tmp_path / "source", fail)
    assert not list(tmp_path.iterdir())


def test_several_writers_at_once_end_well(tmp_path: Path) -> None:
    def write(number: int) -> None:
        write_once(tmp_path / "source", lambda folder: (folder / "a").write_text("same"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(32)))
    assert (tmp_path / "source" / "a").read_text() == "same"
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_scikit_learns_digits_look_like_mnists() -> None:
    images, labels = small_digits()
    assert images.shape == (1797, 28, 28)
    assert set(labels.tolist()) == set(range(10))
    assert images[:, 4:24, 4:24].sum() == images.sum()
    assert images.max() == 255

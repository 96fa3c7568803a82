"""Archives of arrays: what plain data need is read, and nothing else is ever called."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from data_modules.common.errors import DataError
from data_modules.sources import plain_pickle
from data_modules.sources.npz import npz_headers, read_npz
from data_modules.sources.plain_pickle import RefusedError, load_plain
from tests.data_modules.sources import expect_only


def sequences() -> np.ndarray:
    array = np.empty(3, dtype=object)
    array[0] = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    array[1] = np.asfortranarray(np.ones((3, 4, 5, 3), dtype=np.float32))
    array[2] = [1, 2.5, "três", None, True, {"k": (np.float64(3), np.int64(-1), b"bytes")}]
    return array


def write_objects(path: Path, content: bytes, *, shape: tuple[int, ...] = (3,)) -> Path:
    """An archive whose one array of objects is the given pickle."""
    member = io.BytesIO()
    npy.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": shape})
    member.write(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", member.getvalue())
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_and_objects_are_read(tmp_path: Path, save: Callable[..., None]) -> None:
    numbers = np.arange(12.0).reshape(3, 4)
    save(tmp_path / "a.npz", objects=sequences(), c=numbers, fortran=np.asfortranarray(numbers), text=np.array("à"))
    read = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(read["c"], numbers)
    np.testing.assert_array_equal(read["fortran"], numbers)
    assert read["text"] == "à"
    np.testing.assert_array_equal(read["objects"][0], sequences()[0])
    np.testing.assert_array_equal(read["objects"][1], sequences()[1])
    assert read["objects"][2] == sequences()[2]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_every_protocol_that_numpy_wrote_is_read(tmp_path: Path, protocol: int) -> None:
    path = write_objects(tmp_path / "a.npz", pickle.dumps(sequences(), protocol=protocol))
    read = read_npz(path)["arr_0"]
    np.testing.assert_array_equal(read[0], sequences()[0])
    assert read[2] == sequences()[2]


def test_headers_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", objects=sequences(), labels=np.zeros((7, 2), dtype=np.int64))
    headers = npz_headers(tmp_path / "a.npz")
    assert headers["objects"].shape == (3,)
    assert headers["objects"].dtype.hasobject
    assert headers["labels"].shape == (7, 2)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system|nt.system"),
        (eval, "builtins.eval"),
        (subprocess.Popen, "subprocess.Popen"),
        (np.load, "numpy.load"),
        (np.fromfile, "numpy.*fromfile"),
        (np.memmap, "numpy.*memmap"),
        (bytearray, "builtins.bytearray"),
        (getattr, "builtins.getattr"),
        (Path, "pathlib"),
    ],
)
def test_a_call_is_refused_by_name_and_never_made(tmp_path: Path, function: Callable[..., Any], name: str) -> None:
    witness = tmp_path / "ran"
    array = np.empty(1, dtype=object)
    array[0] = Calls(function, f"touch {witness}")
    path = write_objects(tmp_path / "a.npz", pickle.dumps(array, protocol=4), shape=(1,))
    with pytest.raises(DataError, match=rf"a\.npz.*({name})"):
        read_npz(path)
    assert not witness.exists()


def test_a_dotted_name_does_not_reach_past_what_is_admitted() -> None:
    forged = b"\x80\x04\x8c\x05numpy\x8c\x14ndarray.__setstate__\x93."
    with pytest.raises(RefusedError, match=r"ndarray\.__setstate__"):
        load_plain(io.BytesIO(forged))


class _State:
    """Stands for a pickled array whose state is forged: rebuilt by NumPy's own function, then given `state`."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments, _ = np.zeros(0).__reduce__()
        return rebuild, arguments, self.state


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**6, 10**6), np.dtype("u1"), False, b"few"),  # more than there is
        (1, (4,), np.dtype("u1"), False, b"12345"),  # less than there is
        (1, (-1,), np.dtype("u1"), False, b""),
        (1, (2,), np.dtype("O"), False, b"\0" * 16),  # bytes where pointers go
        (1, (2,), np.dtype("u8"), False, [1, 2]),  # objects where bytes go
        (1, (1,), np.dtype([("a", "O")]), False, b"\0" * 8),
        (1, (1,), np.dtype("V8"), False, b"\0" * 8),
        (1, (1,), np.dtype(">u8"), False, b"\0" * 8),
        (1, (1,), "u1", False, b"1"),
        (1, [1], np.dtype("u1"), False, b"1"),
        (1, (True,), np.dtype("u1"), False, b"1"),
        {"__class__": "x"},
        7,
    ],
)
def test_a_forged_state_is_refused(state: object) -> None:
    with pytest.raises(RefusedError, match="array"):
        load_plain(io.BytesIO(pickle.dumps(_State(state), protocol=4)))


def test_a_forged_dtype_is_refused() -> None:
    # dtype("u8"), told by its state that it holds objects.
    forged = pickle.dumps(np.zeros(1, "u8"), protocol=4).replace(b"NNNJ", b"N)}J")
    with pytest.raises(RefusedError, match="fields"):
        load_plain(io.BytesIO(forged))


def test_what_is_admitted_cannot_be_changed() -> None:
    # BUILD with (None, {"x": 1}) on each admitted function.
    for module, name in ((b"numpy", b"dtype"), (b"numpy._core.multiarray", b"_reconstruct"), (b"numpy", b"ndarray")):
        content = b"\x80\x02c" + module + b"\n" + name + b"\nN}X\x01\x00\x00\x00xK\x01s\x86b."
        with pytest.raises((RefusedError, AttributeError)):
            load_plain(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".", "BYTEARRAY8|malformed|remain"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"few.", "remain"),
        (b"\x80\x02Nr" + struct.pack("<I", 0x7FFFFFFF) + b".", "operations"),
        (b"\x80\x02Pname\n.", "PERSID|not in"),
        (b"\x80\x02N.N.", "follow"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"cos\nsystem\n(S'x'\ntR.", "STRING|system"),
    ],
)
def test_greedy_and_odd_operations_cost_nothing(tmp_path: Path, content: bytes, reason: str) -> None:
    path = write_objects(tmp_path / "a.npz", content)
    tracemalloc.start()
    with pytest.raises(DataError, match=reason):
        read_npz(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


def test_operations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_OPERATIONS", 1000)
    assert load_plain(io.BytesIO(b"\x80\x02" + b"N0" * 498 + b"N.")) is None
    with pytest.raises(RefusedError, match="1000 operations"):
        load_plain(io.BytesIO(b"\x80\x02" + b"N0" * 499 + b"N."))


def test_an_object_that_contains_itself_too_often_is_not_printed() -> None:
    nested: tuple[Any, ...] = (1,)
    for _ in range(60):
        nested = (nested, nested)
    forged = pickle.dumps(_State((1, nested, np.dtype("u1"), False, b"1")), protocol=4)
    with pytest.raises(RefusedError, match="shape"):
        load_plain(io.BytesIO(forged))


@given(seed=st.integers(0, 2**32), flips=st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_a_damaged_archive_is_a_data_error_or_an_array(
    tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    damaged = bytearray(pickle.dumps(sequences(), protocol=4))
    generator = np.random.default_rng(seed)
    for position in generator.integers(len(damaged), size=flips):
        damaged[position] ^= 1 << generator.integers(8)
    write_objects(path, bytes(damaged))
    with expect_only(DataError, match=path.name):
        assert isinstance(read_npz(path)["arr_0"], np.ndarray)


@given(part=st.floats(0, 0.999))
@settings(max_examples=30, deadline=None)
def test_a_truncated_archive_is_refused_by_name(tmp_path_factory: pytest.TempPathFactory, part: float) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez(path, objects=sequences(), numbers=np.arange(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(path)


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(10**7, dtype=np.uint8))
    with pytest.raises(DataError, match="claims to unpack to 10000128 bytes"):
        read_npz(tmp_path / "a.npz", max_bytes=10**6)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("../evil.py", b"print()", "is not an array"),
        ("a.npy", b"not an array", "magic"),
        ("a.npy", b"\x93NUMPY\x03\x00" + struct.pack("<I", 8) + b"{}     \n", "version"),
    ],
)
def test_foreign_members_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(name, content)
    with pytest.raises(DataError, match=reason):
        read_npz(tmp_path / "a.npz")


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    member = io.BytesIO()
    npy.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", member.getvalue() + b"few")
    with pytest.raises(DataError, match="1000000000000 bytes, and holds 3"):
        read_npz(tmp_path / "a.npz")


def test_structured_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", table=np.zeros(2, dtype=[("a", "i4")]))
    with pytest.raises(DataError, match=r"type '\|V4'"):
        read_npz(tmp_path / "a.npz")


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("<html>Not found</html>")
    with pytest.raises(DataError, match=r"a\.npz: is not an intact \.npz"):
        read_npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match="nowhere"):
        read_npz(tmp_path / "nowhere.npz")

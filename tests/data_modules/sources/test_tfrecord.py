"""TFRecords: checksums as the standard says, records and messages exact or refused by file and offset."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.common.errors import DataError
from data_modules.drawings.tiny_video import example_bytes, record_bytes, write_softmotion
from data_modules.sources import tfrecord
from data_modules.sources.softmotion import find_records, read_trajectory
from data_modules.sources.tfrecord import MalformedError, masked_crc32c, parse_example, records_in
from tests.data_modules.sources import expect_only
from tests.reference import crc32c as reference

RECORDS = [b"", b"one", bytes(range(256)) * 5]


def written(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(map(record_bytes, records)))
    return path


def message(field: int, wire: int, content: bytes) -> bytes:
    return bytes([field << 3 | wire]) + content


def unmasked(value: int) -> int:
    """The checksum that a TFRecord file's masked one stands for, by the mask's definition."""
    turned = (value - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),  # RFC 3720, appendix B.4
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
    ],
)
def test_checksums_of_the_standard(data: bytes, checksum: int) -> None:
    assert unmasked(masked_crc32c(data)) == checksum == reference.crc32c(data)


@given(seed=st.integers(0, 2**32), size=st.integers(0, 3000) | st.sampled_from([255, 256, 257, 512, 768, 1024]))
@settings(max_examples=60, deadline=None)
def test_checksums_of_any_length(seed: int, size: int) -> None:
    data = np.random.default_rng(seed).bytes(size)
    assert unmasked(masked_crc32c(data)) == reference.crc32c(data)


def test_records_are_read_in_any_order(tmp_path: Path) -> None:
    records = records_in(written(tmp_path / "a.tfrecords", *RECORDS))
    assert [record.length for record in records] == [0, 3, 1280]
    assert [record.read() for record in records[::-1]] == RECORDS[::-1]
    (tmp_path / "empty.tfrecords").touch()
    assert records_in(tmp_path / "empty.tfrecords") == []


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_truncated_file_is_refused_with_the_offset(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = written(tmp_path_factory.mktemp("tf") / "ä.tfrecords", *RECORDS)
    whole = path.read_bytes()
    starts = [0, 16, 35, len(whole)]
    end = data.draw(st.integers(1, len(whole) - 1).filter(lambda end: end not in starts))
    path.write_bytes(whole[:end])
    start = max(start for start in starts if start < end)
    with pytest.raises(DataError, match=rf"ä\.tfrecords: is cut off inside the record at byte {start}\b"):
        records_in(path)


@given(position=st.integers(0, len(b"".join(map(record_bytes, RECORDS))) - 1), bit=st.integers(0, 7))
@settings(max_examples=120, deadline=None)
def test_every_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    path = written(tmp_path_factory.mktemp("tf") / "a.tfrecords", *RECORDS)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1 << bit
    path.write_bytes(damaged)
    start = max(start for start in (0, 16, 35) if start <= position)
    with pytest.raises(DataError, match=rf"a\.tfrecords: .* byte {start}\b"):
        [record.read() for record in records_in(path)]


def test_absurd_lengths_are_refused_before_reading(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    (tmp_path / "a.tfrecords").write_bytes(length + struct.pack("<I", masked_crc32c(length)) + b"few")
    with pytest.raises(DataError, match=f"byte 0 claims {1 << 60} bytes; at most"):
        records_in(tmp_path / "a.tfrecords")


def test_endless_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "MAX_RECORDS", 2)
    with pytest.raises(DataError, match="more than 2 records"):
        records_in(written(tmp_path / "a.tfrecords", b"", b"", b""))


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecords").write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(DataError, match=r"no record starts at byte 0.*compressed"):
        records_in(tmp_path / "a.tfrecords")
    with pytest.raises(DataError, match=r"gone\.tfrecords"):
        records_in(tmp_path / "gone.tfrecords")


def test_a_file_that_shrinks_or_vanishes_in_mid_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tfrecords", *RECORDS)
    *_, last = records_in(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="cut off inside the record at byte 35"):
        last.read()
    path.unlink()
    with pytest.raises(DataError, match=r"a\.tfrecords: cannot be read"):
        last.read()


NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(lambda values: np.array(values, dtype=np.int64))
FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=5).map(lambda values: np.array(values, dtype="<f4"))


@given(features=st.dictionaries(st.text(max_size=8), st.binary(max_size=300) | NUMBERS | FLOATS, max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_parsed(features: dict[str, bytes | np.ndarray]) -> None:
    parsed = parse_example(example_bytes(features), features)
    assert parsed.keys() == features.keys()
    for name, value in features.items():
        found = parsed[name]
        if isinstance(value, bytes):
            assert found == [value]
        else:
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, value)
            assert found.dtype == value.dtype


def test_only_what_is_wanted_is_kept() -> None:
    data = example_bytes({"a": b"1", "b": b"2", "c": np.ones(3)})
    assert parse_example(data, {"b", "x"}) == {"b": [b"2"]}


def test_unpacked_lists_and_unknown_fields_are_understood() -> None:
    floats = b"".join(message(1, 5, struct.pack("<f", value)) for value in (1.5, -2.0))
    integers = b"".join(message(1, 0, bytes([value])) for value in (3, 4))
    unknown = message(9, 0, b"\x05") + message(10, 1, bytes(8)) + message(11, 5, bytes(4)) + message(12, 2, b"\x02ab")

    def entry(name: bytes, feature: bytes) -> bytes:
        inner = message(1, 2, bytes([len(name)]) + name) + message(2, 2, bytes([len(feature)]) + feature) + unknown
        return message(1, 2, bytes([len(inner)]) + inner)

    entries = entry(b"f", unknown + message(2, 2, bytes([len(floats)]) + floats))
    entries += entry(b"i", message(3, 2, bytes([len(integers)]) + integers))
    parsed = parse_example(unknown + message(1, 2, bytes([len(entries)]) + entries), {"f", "i"})
    np.testing.assert_array_equal(parsed["f"], [1.5, -2.0])
    np.testing.assert_array_equal(parsed["i"], [3, 4])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a\xff\xff\xff\xff\x7f", "claims 34359738367 bytes, 0 are left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "claims 18446744073709551615"),
        (b"\x0a" + b"\xff" * 11, "more than 64 bits"),
        (b"\x0a\x80", "ends inside a number"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x09\0\0", "claims 8 bytes, 2 are left"),
    ],
)
def test_malformed_messages_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_example(data, {"a"})
    (record,) = records_in(written(tmp_path / "a.tfrecords", data))
    with pytest.raises(DataError, match=rf"a\.tfrecords: the record at byte 0 is not a tf.train.Example \(.*{reason}"):
        record.features({"a"})


@given(data=st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with expect_only(MalformedError, match=""):
        parse_example(data, {""})


@given(seed=st.integers(0, 2**32), flips=st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_a_damaged_message_is_one_or_malformed(seed: int, flips: int) -> None:
    damaged = bytearray(example_bytes({"a": b"12345", "b": np.ones(4), "c": np.arange(5) * 1000}))
    generator = np.random.default_rng(seed)
    for position in generator.integers(len(damaged), size=flips):
        damaged[position] ^= 1 << generator.integers(8)
    with expect_only(MalformedError, match=""):
        parse_example(bytes(damaged), {"a", "b", "c"})


def test_lengths_that_lie_cost_no_memory(tmp_path: Path) -> None:
    lying = b"\x0a\xff\xff\xff\xff\x07" + bytes(100)
    path = written(tmp_path / "a.tfrecords", lying)
    tracemalloc.start()
    with pytest.raises(DataError, match="claims 2147483647 bytes"):
        records_in(path)[0].features({"a"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_trajectories_are_what_was_drawn(tmp_path: Path) -> None:
    from data_modules.drawings.scenes import draw_push

    write_softmotion(tmp_path)
    records = find_records(tmp_path / "train")
    assert [record.path.name for record in records] == ["traj_0_to_2.tfrecords"] * 3 + ["traj_3_to_5.tfrecords"] * 3
    found, drawn = read_trajectory(records[4]), draw_push(4, frames=30, size=64)
    np.testing.assert_array_equal(found.video, drawn.video)
    np.testing.assert_array_equal(found.position, drawn.position)
    np.testing.assert_array_equal(found.action, drawn.action)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"7/image_aux1/encoded": None}, r"'7/image_aux1/encoded' holds no bytes; expected 64x64x3 = 12288 bytes"),
        ({"7/image_aux1/encoded": bytes(100)}, r"holds \[100\] bytes; expected 64x64x3"),
        ({"7/image_aux1/encoded": np.ones(3)}, "holds no bytes"),
        ({"0/action": None}, "'0/action' holds nothing; expected 4 floats"),
        ({"0/action": np.ones(3)}, "holds 3 numbers; expected 4 floats"),
        ({"29/endeffector_pos": np.arange(3)}, "expected 3 floats"),
    ],
)
def test_a_record_of_another_kind_is_refused_by_key(tmp_path: Path, change: dict, found: str) -> None:
    features: dict[str, bytes | np.ndarray] = {}
    for frame in range(30):
        features[f"{frame}/image_aux1/encoded"] = bytes(64 * 64 * 3)
        features[f"{frame}/endeffector_pos"] = np.zeros(3)
        features[f"{frame}/action"] = np.zeros(4)
    features = {key: value for key, value in (features | change).items() if value is not None}
    (record,) = records_in(written(tmp_path / "a.tfrecords", example_bytes(features)))
    with pytest.raises(DataError, match=rf"a\.tfrecords: in the record at byte 0, .*{found}"):
        read_trajectory(record)

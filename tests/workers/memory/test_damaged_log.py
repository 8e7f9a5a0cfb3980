"""Damage to a shard's log is found, and placed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.memory.logged import Both
from workers.errors import CorruptMessage
from workers.host.disk import MemoryDisk
from workers.memory import shard_log, shard_records
from workers.memory.index.quantizer import Quantizer
from workers.memory.loading import load_log, load_logs
from workers.memory.shard_records import Record, RecordKind, segment_head

# One list, of vectors of three values.
FLAT = Quantizer(np.ones((1, 3), np.float32), None, 1)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    both = Both(MemoryDisk())
    both.add(range(4))
    (name,) = both.disk.names()
    saved = bytearray(both.disk.read(name))
    saved[data.draw(st.integers(0, len(saved) - 1))] ^= data.draw(st.integers(1, 255))
    both.disk.write(name, bytes(saved))
    with pytest.raises(CorruptMessage, match=r"segment-00000001: .*on disk as 'docs'"):
        load_log(both.disk, "docs")


def test_what_is_missing_in_the_middle_is_damage(monkeypatch) -> None:
    monkeypatch.setattr(shard_log, "SEGMENT_BYTES", 200)
    both = Both(MemoryDisk())
    for first in range(0, 40, 8):
        both.add(range(first, first + 8))
    names = both.disk.names()
    assert len(names) == 5
    whole = both.disk.read(names[2])
    both.disk.write(names[2], whole[:-1])
    with pytest.raises(CorruptMessage, match="begins with record 5, not with 4"):
        both.reload()
    both.disk.delete(names[2])
    with pytest.raises(CorruptMessage, match="begins with record 5, not with 4"):
        both.reload()


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (Record(RecordKind.OPEN, b"\3\0\0\0"), "opens once"),
        (Record(RecordKind.ADD, b"\2\0\0\0\2\0\0\0[]"), "do not fill"),
        (Record(RecordKind.ADD, b"\0\0\0\0\2\0\0\0[]"), "not enough values"),
        (Record(RecordKind.ADD, b"\0\0\0\0\x0c\0\0\0[[1],[],[0]]"), "must be strings"),
        (Record(RecordKind.GONE, b"1"), "requires a buffer"),
        (Record(RecordKind.TRAINED, b"1"), "requires a buffer"),
        (Record(RecordKind.TRAINED, bytes(20)), "a quantiser of 0 lists"),
        (shard_records.trained(FLAT), "index 'exact' has no such quantiser"),
        (Record(RecordKind.MERGED, b"1"), "requires a buffer"),
    ],
)
def test_a_record_with_right_checksums_that_no_shard_says_is_corrupt(record, what) -> None:
    disk = MemoryDisk()
    both = Both(disk)
    (name,) = disk.names()
    disk.append(name, record.pack(2))
    with pytest.raises(CorruptMessage, match=what):
        both.reload()


def test_deep_json_in_a_record_is_corrupt() -> None:
    said = b"[" * 100_000
    disk = MemoryDisk()
    both = Both(disk)
    payload = b"\0\0\0\0" + len(said).to_bytes(4, "little") + said
    disk.append(disk.names()[0], Record(RecordKind.ADD, payload).pack(2))
    with pytest.raises(CorruptMessage, match="record 2"):
        both.reload()


def test_a_log_that_was_never_sealed_is_not_there() -> None:
    disk = MemoryDisk()
    disk.write("docs/00000001/segment-00000001", segment_head(0) + shard_records.opened(3).pack(0))
    with pytest.raises(FileNotFoundError):
        load_log(disk, "docs")
    assert load_logs(disk, "docs") == {}


@pytest.mark.parametrize("said", [b'{"kind":"hnsw"}', b'{"kind":"ivf_pq","m":2}', b"{"])
def test_an_index_that_no_shard_has_is_corrupt(said: bytes) -> None:
    """m 2 does not divide three values."""
    disk = MemoryDisk()
    opened = Record(RecordKind.OPEN, b"\3\0\0\0" + said)
    disk.write("docs/00000001/segment-00000001", segment_head(0) + opened.pack(0))
    with pytest.raises(CorruptMessage, match="record 0 is not as it should be"):
        load_log(disk, "docs")

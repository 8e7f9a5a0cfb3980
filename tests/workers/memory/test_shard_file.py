"""A saved shard comes back whole or not at all, also when a crash tears a save."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from workers.errors import CorruptMessage
from workers.host.disk import FolderDisk, MemoryDisk
from workers.memory.shard import RetrievalShard
from workers.memory.shard_file import (
    delete_shard,
    from_bytes,
    from_pages,
    load_shard,
    save_shard,
    to_bytes,
    to_pages,
)


def shard_of(count: int, dim: int = 3) -> RetrievalShard:
    shard = RetrievalShard(dim)
    rng = np.random.default_rng(count)
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    files = [f"f{i % 2}" for i in range(count)]
    shard.add(range(count), vectors, [f"pässage {i}" for i in range(count)], files)
    return shard


def same(one: RetrievalShard, other: RetrievalShard) -> bool:
    return to_bytes(one) == to_bytes(other)


@given(st.integers(0, 20), st.integers(1, 5), st.integers(25, 300))
def test_bytes_and_pages_round_trip(count: int, dim: int, page_bytes: int):
    data = to_bytes(shard_of(count, dim))
    pages = to_pages(data, page_bytes)
    assert {len(page) for page in pages} == {page_bytes}
    assert from_pages(pages) == data
    back = from_bytes(data)
    assert same(back, shard_of(count, dim))
    query = np.ones((1, dim), np.float32)
    assert back.search(query, 3) == shard_of(count, dim).search(query, 3)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject):
    saved = bytearray(to_bytes(shard_of(4)))
    saved[data.draw(st.integers(0, len(saved) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptMessage):
        from_bytes(bytes(saved))


def test_any_truncation_or_addition_is_noticed():
    saved = to_bytes(shard_of(3))
    for size in range(len(saved)):
        with pytest.raises(CorruptMessage):
            from_bytes(saved[:size])
    with pytest.raises(CorruptMessage, match="1 bytes follow"):
        from_bytes(saved + b"\0")


def test_bad_pages_are_named():
    pages = to_pages(to_bytes(shard_of(5)), 64)
    for index in range(len(pages)):
        torn = [*pages[:index], pages[index][:30], *pages[index + 1 :]]
        if len(pages[index].rstrip(b"\0")) > 30:
            with pytest.raises(CorruptMessage, match=f"page {index} of"):
                from_pages(torn)
    with pytest.raises(CorruptMessage, match="page 0 of"):
        from_pages([pages[1], pages[0], *pages[2:]])
    with pytest.raises(CorruptMessage, match="page 0 of"):
        from_pages(pages[:-1])
    with pytest.raises(CorruptMessage, match="no pages"):
        from_pages([])
    with pytest.raises(ValueError, match="page_bytes is 24"):
        to_pages(b"", 24)


def test_a_disk_keeps_the_newest_shard_and_nothing_else(tmp_path):
    for disk in (MemoryDisk(), FolderDisk(tmp_path)):
        with pytest.raises(FileNotFoundError):
            load_shard(disk, "docs")
        save_shard(disk, "docs", shard_of(9), page_bytes=128)
        written = save_shard(disk, "docs", shard_of(2), page_bytes=128)
        save_shard(disk, "other", shard_of(3), page_bytes=128)
        assert same(load_shard(disk, "docs"), shard_of(2))
        assert len([n for n in disk.names() if n.startswith("docs/")]) * 128 == written


class CrashingDisk(MemoryDisk):
    """Loses power at the nth write or sync."""

    def __init__(self, operations: int) -> None:
        super().__init__()
        self.left = operations

    def _operation(self) -> None:
        if self.left == 0:
            raise OSError("power lost")
        self.left -= 1

    def write(self, name: str, data: bytes) -> None:
        super().write(name, data)
        self._operation()

    def sync(self, name: str) -> None:
        self._operation()
        super().sync(name)


@given(st.integers(0, 30), st.floats(0, 1, exclude_max=True))
def test_a_crash_during_a_save_leaves_the_old_shard_or_the_new(operations: int, kept: float):
    disk = CrashingDisk(10_000)
    save_shard(disk, "docs", shard_of(4), page_bytes=64)
    disk.left = operations
    try:
        save_shard(disk, "docs", shard_of(5), page_bytes=64)
        expected = [shard_of(5)]
    except OSError:
        expected = [shard_of(4), shard_of(5)]
    disk.left = 10_000
    disk.crash(lambda name: kept)
    found = load_shard(disk, "docs")
    assert any(same(found, shard) for shard in expected)
    save_shard(disk, "docs", shard_of(6), page_bytes=64)
    assert same(load_shard(disk, "docs"), shard_of(6))


@given(st.integers(0, 3), st.floats(0, 1, exclude_max=True))
def test_a_crash_during_a_deletion_leaves_all_or_nothing(operations: int, kept: float):
    disk = CrashingDisk(10_000)
    save_shard(disk, "docs", shard_of(4), page_bytes=64)
    disk.left = operations
    with suppress(OSError):
        delete_shard(disk, "docs")
    disk.left = 10_000
    disk.crash(lambda name: kept)
    with suppress(FileNotFoundError):
        assert same(load_shard(disk, "docs"), shard_of(4))
    delete_shard(disk, "docs")
    delete_shard(disk, "docs")
    assert disk.names() == []


def test_rot_is_an_error_not_an_answer():
    disk = MemoryDisk()
    save_shard(disk, "docs", shard_of(9), page_bytes=64)
    name = disk.names()[2]
    page = bytearray(disk.read(name))
    page[40] ^= 1
    disk.write(name, bytes(page))
    with pytest.raises(CorruptMessage, match=r"page 2 of .*'docs'"):
        load_shard(disk, "docs")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(
    key=st.sampled_from(["dim", "num_passages", "num_bytes", "checksums", "new"]),
    value=JSON,
    texts=JSON,
)
def test_any_header_and_texts_with_right_checksums_are_a_shard_or_corrupt(key, value, texts):
    """A checksum that fits says nothing of who wrote the bytes."""
    written = json.dumps(texts).encode()
    parts = [np.arange(2).tobytes(), np.ones((2, 3), "<f4").tobytes(), written]
    header = {
        "dim": 3,
        "num_passages": 2,
        "num_bytes": [len(part) for part in parts],
        "checksums": [xxh3_64_intdigest(part) for part in parts],
    }
    for said in (header | {key: value}, header, value):
        raw = json.dumps(said).encode()
        head = struct.pack("<8sIQ", b"PFSHARD1", len(raw), xxh3_64_intdigest(raw))
        with suppress(CorruptMessage):
            from_bytes(head + raw + b"".join(parts))


def test_deep_json_in_a_shard_is_corrupt():
    raw = b"[" * 100_000
    head = struct.pack("<8sIQ", b"PFSHARD1", len(raw), xxh3_64_intdigest(raw))
    with pytest.raises(CorruptMessage, match="nested too deep"):
        from_bytes(head + raw)

"""A shard's log brings back what was acknowledged, whole, wherever a crash tears it; and what is
written in all stays a small multiple of what was added.
"""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.memory.logged import Both, same, vectors_of
from workers.host.disk import FolderDisk, MemoryDisk
from workers.memory import shard_log
from workers.memory.loading import load_log, load_logs
from workers.memory.shard import RetrievalShard


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_a_log_brings_back_what_was_added_and_taken_back(kind: str, tmp_path) -> None:
    disk = MemoryDisk() if kind == "memory" else FolderDisk(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_log(disk, "docs")
    both, other = Both(disk), Both(disk, "a/other")
    both.add(range(9))
    both.take_back(range(3, 5))
    both.take_back(range(40, 50))  # never came
    other.add(range(2))
    for _ in range(3):  # each goes on in a segment of its own
        loaded = load_logs(disk, "a")["other"][1]
        assert same(loaded, other.shard)
        assert same(load_log(disk, "docs")[1], both.shard)
        before = both.shard.num_passages
        both.reload()
        both.add(range(100 + before, 104 + before))
    with pytest.raises(ValueError, match="45 was taken back"):
        both.shard.add([45], vectors_of(range(1)), ["late"])


class CrashingDisk(MemoryDisk):
    """Loses power at the nth write or sync. `fails` instead: that one fails, half done."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.fails = 1 << 30, False
        self.num_bytes = 0

    def _operation(self) -> None:
        if self.left == 0:
            if self.fails:
                self.left = 1 << 30
            raise OSError("power lost")
        self.left -= 1

    def append(self, name: str, data: bytes) -> None:
        self.num_bytes += len(data)
        if self.left == 0 and self.fails:
            super().append(name, data[: len(data) // 2])
        else:
            super().append(name, data)
        self._operation()

    def sync(self, name: str) -> None:
        self._operation()
        super().sync(name)


CHANGES: list[Callable[[Both], None]] = [
    lambda both: both.add(range(10, 14)),
    lambda both: both.take_back(range(2)),
    lambda both: both.add(range(20, 21)),
    lambda both: both.take_back(range(2, 13)),  # of 11 more than half is gone: written anew
    lambda both: both.add(range(30, 33)),
]


@settings(max_examples=150)
@given(st.integers(0, 24), st.floats(0, 1, exclude_max=True), st.integers(30, 400))
def test_a_crash_keeps_all_that_was_acknowledged_and_nothing_by_halves(
    operations: int, kept: float, segment_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_log, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(shard_log, "GONE_MIN", 4)
        disk = CrashingDisk()
        both = Both(disk)
        both.add(range(7))
        disk.left, done = operations, 0
        with suppress(OSError):
            for change in CHANGES:
                change(both)
                done += 1
        disk.left = 1 << 30
        disk.crash(lambda name: kept)
        found = load_log(disk, "docs")[1]
        assert same(found, shard_after(done)) or same(found, shard_after(done + 1))
        both.reload()
        both.add(range(50, 52))
        assert same(load_log(disk, "docs")[1], both.shard)


def shard_after(num_changes: int) -> RetrievalShard:
    both = Both(MemoryDisk())
    both.add(range(7))
    for change in CHANGES[:num_changes]:
        change(both)
    return both.shard


@given(st.integers(0, 9))
def test_an_append_that_failed_does_not_count_and_spoils_nothing(operations: int) -> None:
    """Half of a record, or a whole one that was not synced, stays in its segment. Those after it
    begin with its number.
    """
    disk = CrashingDisk()
    both = Both(disk)
    both.add(range(5))
    disk.left, disk.fails = operations, True
    for first in (10, 20, 30):
        with suppress(OSError):
            both.add(range(first, first + 3))
    disk.left = 1 << 30
    both.add(range(40, 41))
    assert same(load_log(disk, "docs")[1], both.shard)


@given(st.integers(0, 3), st.floats(0, 1, exclude_max=True))
def test_a_crash_during_a_deletion_leaves_all_or_nothing(operations: int, kept: float) -> None:
    disk = CrashingDisk()
    both = Both(disk)
    both.add(range(4))
    disk.left = operations
    with suppress(OSError):
        both.log.delete()
    disk.left = 1 << 30
    disk.crash(lambda name: kept)
    with suppress(FileNotFoundError):
        both.reload()
        assert same(both.shard, Both(MemoryDisk()).shard) or both.shard.num_passages == 4
        both.log.delete()
    assert disk.names() == []
    assert Both(disk).shard.num_passages == 0


def test_all_that_is_written_stays_a_multiple_of_what_was_added(monkeypatch) -> None:
    """1,000 files of 8 passages each, each deleted when 20 more have come, of a log that is written
    anew when more than 32 are gone: an addition is written once, and once more for each that goes.
    """
    monkeypatch.setattr(shard_log, "GONE_MIN", 32)
    disk = CrashingDisk()
    both = Both(disk)
    begun = disk.num_bytes
    both.add(range(8))
    one = disk.num_bytes - begun
    for number in range(1, 1000):
        both.add(range(8 * number, 8 * number + 8))
        if number >= 20:
            both.take_back(range(8 * (number - 20), 8 * (number - 19)))
    assert both.shard.num_passages == 160
    assert disk.num_bytes < 3 * 1000 * one
    held = sum(len(disk.read(name)) for name in disk.names())
    assert held < 4 * 20 * one

"""Segments become fewer and say the same, wherever a crash cuts it short; and a log that grows by a
passage at a time costs each of them the same.
"""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.memory.logged import DIM, Both, same, vectors_of
from tests.workers.memory.test_shard_log import CrashingDisk
from workers.errors import CorruptMessage
from workers.host.disk import MemoryDisk
from workers.memory import compaction, shard_log
from workers.memory.compaction import to_merge
from workers.memory.loading import load_log
from workers.memory.segments import Segment
from workers.memory.shard_records import scan


def segment(num_bytes: int, num_records: int = 1, *, merged: bool = False, at: int = 1) -> Segment:
    name = f"s/00000001/segment-{at:08d}" + (".00000001" if merged else "")
    return Segment(name, at, at, 0, num_bytes, num_records)


@pytest.mark.parametrize(
    ("closed", "run"),
    [
        ([], range(0)),
        ([segment(100)] * 3, range(0)),  # full ones of few records
        ([segment(100), segment(100, 65)], range(1, 2)),
        ([segment(100), segment(100, 65, merged=True)], range(0)),  # no better the second time
        ([segment(10)] * 7, range(0)),
        ([segment(10)] * 8, range(8)),
        ([segment(90)] + [segment(12)] * 9, range(1, 9)),  # eight of 12 make 96, nine too many
        ([segment(60), segment(40, 65), segment(1)], range(2)),  # together no more than is full
    ],
)
def test_what_is_merged(closed: list[Segment], run: range) -> None:
    """A full segment has 100 bytes; more than 64 records are many, eight small segments too."""
    assert to_merge(closed, 100) == run


def settle(both: Both) -> None:
    while both.log.bytes_to_merge:
        both.log.compact(DIM)


def records_on(disk: MemoryDisk) -> int:
    return sum(sum(1 for _ in scan(disk.read(name))) for name in disk.names())


def test_many_records_become_few_and_say_the_same(monkeypatch) -> None:
    """100 passages one by one in a segment that is full at 12,000 bytes; then 20 of them go, and
    one that never came.
    """
    monkeypatch.setattr(shard_log, "SEGMENT_BYTES", 12_000)
    both = Both(MemoryDisk())
    for i in range(100):
        both.add(range(i, i + 1))
    both.take_back(range(10, 30))
    both.take_back(range(500, 501))
    while not both.log.bytes_to_merge:
        both.add(range(1_000 + both.shard.num_passages, 1_001 + both.shard.num_passages))
    before = both.log.bytes_to_merge
    assert both.log.compact(DIM) < before
    merged, last = both.disk.names()
    assert merged.endswith("segment-00000001.00000001") and last.endswith("segment-00000002")
    # The shard's beginning, what went, one of passages, and that the log is whole, and the segment.
    assert [record.kind.name for _, record in scan(both.disk.read(merged))] == [
        "OPEN", "GONE", "GONE", "ADD", "SEALED", "MERGED",
    ]  # fmt: skip
    assert same(load_log(both.disk, "docs")[1], both.shard)
    both.reload()
    with pytest.raises(ValueError, match="12 was taken back"):
        both.shard.add([12], vectors_of(range(1)), ["late"])
    both.add(range(2_000, 2_003))
    assert same(load_log(both.disk, "docs")[1], both.shard)


@settings(max_examples=150)
@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_crash_while_merging_loses_nothing(operations: int, kept: float, fails: bool) -> None:
    """Ten additions, some that go, merges in between; power is lost, or one operation fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_log, "SEGMENT_BYTES", 400)
        patch.setattr(compaction, "RECORDS_MAX", 2)
        patch.setattr(compaction, "SMALL_MAX", 3)
        disk = CrashingDisk()
        both = Both(disk)
        disk.left, disk.fails = operations, fails
        for i in range(10):
            with suppress(OSError):
                both.add(range(10 * i, 10 * i + 2))
            for _ in range(2 if i % 3 == 2 else 0):  # whoever hears of a failure asks again
                with suppress(OSError):
                    both.take_back(range(10 * i - 10, 10 * i - 8))
            with suppress(OSError):
                settle(both)
            if disk.left == 0 and not fails:
                break
        disk.left = 1 << 30
        if not fails:
            disk.crash(lambda name: kept)
        found = load_log(disk, "docs")[1]
        # The last change may be there though it was not acknowledged.
        last = {*range(10 * i, 10 * i + 2), *range(10 * i - 10, 10 * i - 8)}
        there, kept_ids = set(found.passage_ids.tolist()), set(both.shard.passage_ids.tolist())
        assert there ^ kept_ids <= last
        both.reload()
        settle(both)
        both.add(range(500, 502))
        assert same(load_log(disk, "docs")[1], both.shard)


def test_damage_in_a_merged_segment_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(shard_log, "SEGMENT_BYTES", 400)
    monkeypatch.setattr(compaction, "RECORDS_MAX", 2)
    both = Both(MemoryDisk())
    for i in range(8):
        both.add(range(i, i + 1))
        settle(both)
    name = both.disk.names()[0]
    saved = bytearray(both.disk.read(name))
    saved[len(saved) // 2] ^= 1
    both.disk.write(name, bytes(saved))
    with pytest.raises(CorruptMessage, match=r"segment-00000001\.00000001"):
        both.reload()


def test_growth_by_one_costs_each_passage_the_same(monkeypatch) -> None:
    """4,000 passages of about 100 bytes; a full segment has 100 of them. Each byte is written as it
    comes and once more when its segment is full, which a single record for 4,096 passages makes
    smaller. A restart reads 45 segments and a few records of each, not 4,000.
    """
    monkeypatch.setattr(shard_log, "SEGMENT_BYTES", 10_000)
    disk = CrashingDisk()
    both, costs = Both(disk), []
    written_anew = 0
    write = disk.write

    def counted(name: str, data: bytes) -> None:
        nonlocal written_anew
        written_anew += len(data)
        write(name, data)

    disk.write = counted  # type: ignore[method-assign]
    for start in range(0, 4_000, 400):
        before = disk.num_bytes + written_anew
        for i in range(start, start + 400):
            both.add(range(i, i + 1))
            settle(both)
        costs.append(disk.num_bytes + written_anew - before)
    assert max(costs) <= 1.5 * min(costs) and costs[-1] <= 1.5 * costs[0]
    assert written_anew < disk.num_bytes, "no byte is written a third time"
    assert len(disk.names()) <= disk.num_bytes // 10_000 + 1
    assert records_on(disk) < 4_000 / 10
    assert same(load_log(disk, "docs")[1], both.shard)


def test_restarts_leave_few_segments() -> None:
    """Each begins one of its own: of 50 that add a passage each, no more than eight are left."""
    both = Both(MemoryDisk())
    for i in range(50):
        both.reload()
        settle(both)
        both.add(range(i, i + 1))
        assert len(both.disk.names()) <= 8
    assert same(load_log(both.disk, "docs")[1], both.shard) and both.shard.num_passages == 50

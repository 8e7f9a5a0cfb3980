"""A promise waits for its event where the disk is slow, and for nothing where it is memory."""

import asyncio
from pathlib import Path

import pytest

from cluster.router.journal.journal import Journal
from tests.cluster.router.journal.test_journal import nobody, spawn
from tests.cluster.router.machine.requests import fresh
from workers.errors import PerfuseError
from workers.host.disk import FolderDisk, MemoryDisk
from workers.host.limited_disk import LimitedDisk


def test_on_a_real_disk_nothing_is_safe_until_it_was_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(FolderDisk(tmp_path), spawn)
        journal.begin(fresh())
        assert journal.is_committed is False, "its thread has not told the loop yet"
        await journal.committed()
        assert journal.is_committed is True

    asyncio.run(scenario())


def test_a_full_disk_in_memory_is_told_to_whoever_waits_for_it_and_ends_nothing() -> None:
    """As of a real one: what was appended in vain is never safe, also when there is room again."""

    async def scenario() -> None:
        disk = LimitedDisk(MemoryDisk())
        journal = Journal(disk, nobody)
        journal.begin(fresh())
        disk.fill()
        journal.append(b"event", fresh())
        assert journal.is_committed is False
        with pytest.raises(PerfuseError, match=r"cannot be written: .* No space left on device"):
            await journal.committed()
        disk.empty()
        kept = {name: disk.read(name) for name in disk.names()}
        journal.append(b"next", fresh())
        assert journal.is_committed is False
        assert {name: disk.read(name) for name in disk.names()} == kept, "or a record is missing"

    asyncio.run(scenario())


def test_in_memory_all_is_safe_at_once() -> None:
    journal = Journal(MemoryDisk(), nobody)
    journal.begin(fresh())
    assert journal.is_committed is True

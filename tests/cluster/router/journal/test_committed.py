"""A promise waits for its event where the disk is slow, and for nothing where it is memory."""

import asyncio
from pathlib import Path

from cluster.router.journal.journal import Journal
from tests.cluster.router.journal.test_journal import nobody, spawn
from tests.cluster.router.machine.requests import fresh
from workers.host.disk import FolderDisk, MemoryDisk


def test_on_a_real_disk_nothing_is_safe_until_it_was_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(FolderDisk(tmp_path), spawn)
        journal.begin(fresh())
        assert journal.is_committed is False, "its thread has not told the loop yet"
        await journal.committed()
        assert journal.is_committed is True

    asyncio.run(scenario())


def test_in_memory_all_is_safe_at_once() -> None:
    journal = Journal(MemoryDisk(), nobody)
    journal.begin(fresh())
    assert journal.is_committed is True

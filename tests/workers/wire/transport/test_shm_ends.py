"""What a wire of shared memory takes, what it leaves behind, and where there can be none."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.shm_nodes import close, files, link, pair, started
from tests.workers.wire.transport.wires import NEEDS_SHM, TIMEOUT_S
from workers.errors import PeerDead
from workers.wire.transport import shm_memory

pytestmark = NEEDS_SHM


def mapped() -> list[int]:
    """Of each memory that is mapped here, how many bytes were touched."""
    found = re.findall(
        r"memfd:perfuse-wire.*?^Rss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.M | re.S
    )
    return [int(rss) * 1024 for rss in found]


def test_an_end_of_which_the_other_hears_leaves_nothing_behind() -> None:
    """No folder, no file, no memory, whoever closes first; the door is this user's alone."""
    before = files()

    async def scenario() -> None:
        a, b = await pair()
        folder = Path(a.address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "door").stat().st_mode & 0o777 == 0o600
        await a.send("b", numbered(1, 1_000_000))
        await b.received(1)
        assert len(mapped()) == 2 and len(files()) == len(before) + 6  # bells: own, rung, watched
        await close(a, b)
        assert not folder.exists()

    asyncio.run(scenario())
    assert files() == before and not mapped()


def test_a_new_incarnation_has_memory_of_its_own() -> None:
    before = files()

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, old = await pair()
            for i in range(20):
                new = await started("b")
                await new.mail.connect({"a": a.address})
                await new.send("a", numbered(i))
                await a.received(i + 1)
                assert await old.heard_of_deaths(1) == ["a"]  # which has dropped it for the new one
                await close(old)
                old = new
            assert len(mapped()) == 2
            await close(a, old)

    asyncio.run(scenario())
    assert files() == before and not mapped()


def test_memory_is_taken_when_it_is_used() -> None:
    async def scenario() -> None:
        a, b = await pair(ring_bytes=2**26)
        assert max(mapped()) <= 4096
        await a.send("b", numbered(1, 30_000))
        await b.received(1)
        assert 30_000 <= max(mapped()) < 2**18
        await close(a, b)

    asyncio.run(scenario())


def test_where_there_can_be_none_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.wire.transport.shm.hindrance", lambda: "no kernel for it")

    async def scenario() -> None:
        with pytest.raises(OSError, match="node 'a' has no shared memory: no kernel for it"):
            await started("a")

    asyncio.run(scenario())


def test_no_descriptor_or_memory_left_is_the_links_end_not_the_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(ring_bytes: int) -> shm_memory.Shared:
        raise OSError(24, "Too many open files")

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await started("a"), await started("b")
            with monkeypatch.context() as patch:
                patch.setattr(shm_memory, "make", none_left)
                await a.mail.connect({"b": b.address})
            with pytest.raises(PeerDead, match="Too many open files"):
                await a.send("b", numbered(1))
            await link(b, "a").gone.wait()
            await b.mail.connect({"a": a.address})
            await b.send("a", numbered(2))
            await a.received(1)
            await close(a, b)

    asyncio.run(scenario())

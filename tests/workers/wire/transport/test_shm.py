"""Shared memory alone: rings that go round, are full, or lose their other side in mid-frame."""

import asyncio
import os

import numpy as np
import pytest

from tests.workers.wire.parcel import Parcel
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.shm_nodes import close, link, of, pair, started
from tests.workers.wire.transport.wires import NEEDS_SHM, TIMEOUT_S
from workers.errors import PeerDead
from workers.wire.message import Message
from workers.wire.transport import shm_link

pytestmark = NEEDS_SHM

RING_BYTES = 4096


def test_every_size_around_that_of_the_ring_arrives_at_every_place_in_it() -> None:
    """Frames end anywhere, so the next ones and their lengths are cut by the ring's end."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair(ring_bytes=RING_BYTES)
            sizes = [*range(40), *range(RING_BYTES - 600, RING_BYTES + 60, 7), 3 * RING_BYTES]
            rng = np.random.Generator(np.random.PCG64(5))
            for i, size in enumerate(sizes):
                tensor = rng.integers(0, 256, size, np.uint8)
                await a.send("b", Message(Parcel(tensors={"t": tensor}), "a", "b", message_id=i))
                got = (await b.received(i + 1))[i]
                assert got.message_id == i
                assert np.array_equal(got.content.tensors["t"], tensor)
            await close(a, b)

    asyncio.run(scenario())


def test_sizes_from_nothing_to_the_most_there_may_be() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S * 2):
            a, b = await pair()
            for i, size in enumerate([0, 1, 2**16, 2**18 - 300, 2**20 + 1, 256 * 2**20 - 4_096]):
                tensor = np.arange(size, dtype=np.uint8)
                await a.send("b", Message(Parcel(tensors={"t": tensor}), "a", "b", message_id=i))
                got = (await b.received(i + 1))[i].content.tensors["t"]
                assert np.array_equal(got, tensor)
                assert got.base is not None or not size
                assert size < 2**17 or got.ctypes.data % 64 == 0
                b.inbox[i] = numbered(i)
            await close(a, b)

    asyncio.run(scenario())


def test_what_is_received_stays_as_it_is() -> None:
    """Views are of the receiver's memory, not of the ring that others write to."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair(ring_bytes=RING_BYTES)
            for i in range(200):
                await a.send("b", numbered(i, 800))
            got = await b.received(200)
            await close(a, b)
            assert all((m.content.tensors["t"] == m.message_id).all() for m in got)

    asyncio.run(scenario())


def test_a_receiver_that_does_not_read_holds_up_its_sender_alone() -> None:
    """What waits is bounded by ring and outbox; other links go on; then all comes, in order."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            limit = 64 * 1024
            a, b = await pair(outbox_bytes=limit, ring_bytes=RING_BYTES)
            c = await started("c", ring_bytes=RING_BYTES)
            await c.mail.connect({"a": a.address})
            stopped = link(b, "a")
            asyncio.get_running_loop().remove_reader(stopped._bell)
            sends = [asyncio.create_task(a.send("b", numbered(i, 8_000))) for i in range(50)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert of(a).queued_bytes("b") <= limit + 8_400
            assert sum(send.done() for send in sends) <= 10 and not b.inbox
            await a.send("c", numbered(1))
            await c.received(1)
            asyncio.get_running_loop().add_reader(stopped._bell, stopped._rung)
            await asyncio.gather(*sends)
            assert [m.message_id for m in await b.received(50)] == list(range(50))
            await close(a, b, c)

    asyncio.run(scenario())


def test_a_bell_between_two_turns_leaves_none_that_runs_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A turn that has done enough goes on later, and the bell for room may come first."""
    monkeypatch.setattr(shm_link, "PACKETS_A_TURN", 1)
    problems: list[str] = []

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: problems.append(str(context)))
            a, b = await pair(ring_bytes=RING_BYTES)
            await a.send("b", numbered(0))
            await b.received(1)
            await b.send("a", numbered(1, 100_000))  # waits for room
            for i in range(10):
                await a.send("b", numbered(i))
            there = link(b, "a")
            for _ in range(3):
                os.eventfd_write(there._bell, 1)
                there._rung()
            of(b)._links.lose(there, "the test ends it")
            await asyncio.sleep(0)
            await close(a, b)

    asyncio.run(scenario())
    assert not problems


def test_half_a_frame_of_a_peer_that_dies_is_not_delivered() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair(ring_bytes=RING_BYTES)
            await a.send("b", numbered(1))
            await b.received(1)
            await a.send("b", numbered(2, 100_000))  # the ring holds its beginning
            assert link(a, "b")._is_writing
            stream = link(a, "b")._stream
            assert stream is not None
            stream.transport.abort()
            assert await b.heard_of_deaths(1) == ["a"]
            with pytest.raises(PeerDead, match="its connection broke"):
                await b.send("a", numbered(3))
            assert [m.message_id for m in b.inbox] == [1]
            await close(a, b)

    asyncio.run(scenario())

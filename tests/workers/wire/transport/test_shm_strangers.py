"""Who is none of the cluster's at a door to shared memory, and peers that do what none should."""

import asyncio
import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import pytest

from kernels.ring import file_bytes
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.shm_nodes import close, files, link, of, pair, started
from tests.workers.wire.transport.wires import NEEDS_SHM, TIMEOUT_S, Node
from workers.errors import PeerDead
from workers.wire.transport import shm_memory
from workers.wire.transport.shm_memory import RING_BYTES, Shared

pytestmark = NEEDS_SHM

# By kernels/ring/ring.h: how much a wrote, how much of b's it read, its first packet's length.
PLACES = {"head": 0, "tail": 512 + 128, "length": 4096}


def test_nodes_whose_rings_differ_say_so() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await started("a", ring_bytes=4096), await started("b", ring_bytes=8192)
            await a.mail.connect({"b": b.address})
            with pytest.raises(PeerDead, match="'two rings of 4096 bytes': node 'b' has"):
                await a.send("b", numbered(1))
            await close(a, b)

    asyncio.run(scenario())


async def watched_pair(patch: pytest.MonkeyPatch) -> tuple[Node, Node, mmap.mmap]:
    """Node a, which has dialled b, and what they share, which a may write nonsense to."""
    kept: list[mmap.mmap] = []
    make = shm_memory.make

    def watched(ring_bytes: int) -> Shared:
        shared = make(ring_bytes)
        kept.append(mmap.mmap(shared.file, file_bytes(ring_bytes)))
        return shared

    patch.setattr(shm_memory, "make", watched)
    a, b = await pair()
    patch.undo()
    return a, b, kept[0]


def cut_off(monkeypatch: pytest.MonkeyPatch, said: str, **written: int) -> None:
    """What is written at each place ends that peer, with a reason; the others are served."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b, memory = await watched_pair(monkeypatch)
            c = await started("c")
            await c.mail.connect({"b": b.address})
            for place, value in written.items():
                struct.pack_into("<Q", memory, PLACES[place], value)
            with suppress(PeerDead):
                await b.send("a", numbered(1))
            if not b.deaths:
                os.eventfd_write(link(b, "a")._bell, 1)
            assert await b.heard_of_deaths(1) == ["a"]
            with pytest.raises(PeerDead, match=said):
                await b.send("a", numbered(2))
            await c.send("b", numbered(3))
            assert [m.message_id for m in await b.received(1)] == [3]
            await close(a, b, c)
            memory.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("value", [RING_BYTES + 1, 2**63, 2**64 - 1])
def test_a_peer_that_says_it_wrote_what_cannot_be_is_lost(
    monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    cut_off(monkeypatch, "more was written than the ring holds", head=value)


@pytest.mark.parametrize("value", [1, 2**63])
def test_a_peer_that_says_it_read_what_cannot_be_is_lost(
    monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    cut_off(monkeypatch, "more was read than was written", tail=value)


@pytest.mark.parametrize("length", [0, 2**28 + 1, 2**64 - 1])
def test_a_packet_of_a_length_that_none_may_have_is_the_peers_end(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    cut_off(monkeypatch, "a length that none may have", length=length, head=8)


def _unsealed(shared: Shared) -> tuple[int, ...]:
    file = os.memfd_create("test", os.MFD_CLOEXEC)
    os.ftruncate(file, file_bytes(RING_BYTES))
    return file, shared.other_bell, shared.own_bell


def _short(shared: Shared) -> tuple[int, ...]:
    file = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, 4096)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return file, shared.other_bell, shared.own_bell


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (_unsealed, "not sealed"),
        (_short, "its memory has 4096 bytes"),
        (lambda shared: (shared.file, shared.file, shared.own_bell), "should be an eventfd"),
        (lambda shared: (shared.own_bell, shared.other_bell, shared.own_bell), "its memory has"),
        (lambda shared: (shared.file, shared.own_bell), "2 files came"),
        (lambda shared: (), "0 files came"),
    ],
)
def test_what_is_no_memory_or_no_bell_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: Callable[[Shared], tuple[int, ...]], said: str
) -> None:
    """A peer that knows the secret is no reason to be ended by it."""

    def hand_over(stream: asyncio.StreamWriter, shared: Shared) -> None:
        with shm_memory._raw(stream) as raw:
            files = given(shared)
            socket.send_fds(raw, [b"\x01"], files)
            for own in set(files) - {shared.file, shared.own_bell, shared.other_bell}:
                os.close(own)

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            with monkeypatch.context() as patch:
                patch.setattr(shm_memory, "hand_over", hand_over)
                a, b = await pair()
                assert await a.heard_of_deaths(1) == ["b"]
            assert said in of(b).last_refusal and of(b).num_refused == 1
            await close(a, b)

    before = files()
    asyncio.run(scenario())
    assert sorted(files()) == sorted(before)


def test_a_stranger_that_hands_over_files_is_rid_of_them() -> None:
    """Before it has proved itself nothing takes them: the kernel closes them."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            b = await started("b")
            before = len(os.listdir("/proc/self/fd"))
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(b.address.removeprefix("unix:"))
                socket.send_fds(stranger, [b"PFH\x01" + bytes(32)], [0, 1, 2] * 20)
                stranger.shutdown(socket.SHUT_WR)
                while not of(b).num_refused:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0)
            assert len(os.listdir("/proc/self/fd")) <= before
            await close(b)

    asyncio.run(scenario())

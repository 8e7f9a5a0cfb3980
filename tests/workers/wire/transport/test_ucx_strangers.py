"""Who is none of the cluster's at a UCX door, and peers that do what none should."""

import asyncio
import socket
from contextlib import suppress
from importlib.util import find_spec

import numpy as np
import psutil
import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Wires

if find_spec("ucxx") is None:
    pytest.skip("needs the extra ucx: pip install 'perfuse[ucx]'", allow_module_level=True)

from tests.workers.wire.transport.ucx_nodes import close, of, pair, started
from workers.wire.transport import door, ucx_links, ucx_worker
from workers.wire.transport.door import knock
from workers.wire.transport.ucx import UcxTransport
from workers.wire.transport.ucx_library import tag_of


@pytest.mark.parametrize("size", [5_000, 100_000, 1_000_000])
def test_a_peer_that_sends_too_much_at_once_is_lost(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Nothing is set aside for it, and the others are served."""
    monkeypatch.setattr(ucx_links, "MESSAGE_BYTES_MAX", 4096)  # of who receives

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair()
            c = await started("c", UcxTransport("c", token="ours"))
            await c.mail.connect({"b": b.address})
            await a.send("b", numbered(0, size))
            assert await b.heard_of_deaths(1) == ["a"]
            assert await a.heard_of_deaths(1) == ["b"]
            await c.send("b", numbered(1))
            assert [m.message_id for m in await b.received(1)] == [1]
            await close(a, b, c)

    asyncio.run(scenario())


def test_garbage_at_the_port_of_ucx_itself_disturbs_nobody() -> None:
    """Over TCP its worker listens too, for peers that its address was told to."""
    rng = np.random.Generator(np.random.PCG64(12))
    magic = (0xCAFEBABE12345678).to_bytes(8, "little")  # how UCX begins a stream

    def throw(address: tuple[str, int]) -> None:
        for i in range(500):
            data = (magic if i % 3 == 0 else b"") + rng.bytes(int(rng.integers(0, 300)))
            with (
                suppress(ConnectionError),  # closed in our face
                socket.create_connection(address, timeout=5) as stream,
            ):
                stream.sendall(data)

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("ucx_tcp") as wires:
            (a,) = await wires.start("a")
            await a.mail.connect({"echo": await wires.start_mortal("echo")})
            assert wires.process is not None
            for one in psutil.Process(wires.process.pid).net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    await asyncio.to_thread(throw, one.laddr)
            message = numbered(1)
            message.source = "a"
            await a.send("echo", message)
            await a.received(1)
            assert not a.deaths

    asyncio.run(scenario())


def test_strangers_beyond_the_limit_are_sent_away_and_the_rest_wait_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silent streams hold a few bytes each for so long, and no more than so many."""
    monkeypatch.setattr(door, "STRANGERS_MAX", 3)
    monkeypatch.setattr(door, "CONNECT_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            b = await started("b", UcxTransport("b", token="ours"))
            silent = [await knock(b.address) for _ in range(4)]
            for reader, writer in silent:
                await reader.read()
                writer.close()
            assert of(b).num_refused == 4
            a = await started("a", UcxTransport("a", token="ours"))
            await a.mail.connect({"b": b.address})
            await a.send("b", numbered(1))
            await b.received(1)
            await close(a, b)

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [100, 100_000_000])
def test_what_comes_with_a_tag_that_nobody_was_told_is_thrown_away(size: int) -> None:
    """UCX itself asks nobody for a secret: whoever reaches a worker may send, and is not heard."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a, b = await pair()
            there = of(b)._worker
            assert there is not None
            done = asyncio.Event()
            stranger = ucx_worker.UcxWorker("lo", lambda tag: 0, lambda tag, got: None, no_answer)
            way = stranger.connect(there.address, lambda: None)
            if stranger.send(way, tag_of(bytes(8)), bytes(size), lambda _: done.set()):
                done.set()
            await done.wait()
            await a.send("b", numbered(1))
            assert [m.message_id for m in await b.received(1)] == [1]
            assert not a.deaths and not b.deaths
            stranger.disconnect(way)
            stranger.close()
            await close(a, b)

    asyncio.run(scenario())


def no_answer(tag: int, length: int) -> None:
    raise AssertionError("a stranger hears nothing")

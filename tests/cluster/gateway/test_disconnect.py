"""A client that vanishes: what it had asked for is closed at once, however far it had come."""

import asyncio
import json
import socket
import struct

import pytest

from cluster.api.output import Output
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, forever, world

pytestmark = pytest.mark.live
NUM_CLIENTS = 100


def silent(request):
    return [asyncio.Event()]


def post(**body) -> bytes:
    raw = json.dumps({"model": MODEL, "prompt": "a", **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("script", "fields"),
    [
        (forever, {"stream": True}),
        (forever, {"stream": True, "n": 2}),
        (forever, {}),
        (silent, {"stream": True}),
        (silent, {"n": 2}),
    ],
    ids=["mid stream", "mid stream of two", "whole", "before the first token", "two, whole"],
)
def test_a_hundred_vanishing_clients_leave_nothing_open(script, fields, abrupt):
    async def one(w) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
        w.router.opened.clear()
        writer.write(post(**fields))
        await w.router.opened.wait()
        if "stream" in fields and script is forever:
            await reader.readuntil(b"\n\n")
        if abrupt:
            linger = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        await w.router.until_closed()

    async def main() -> None:
        async with world(FakeRouter(script=script)) as w:
            for _ in range(NUM_CLIENTS):
                await one(w)
            assert len(w.router.requests) == NUM_CLIENTS * fields.get("n", 1)

    asyncio.run(main())


def test_clients_that_vanish_together():
    async def main() -> None:
        async with world(FakeRouter(script=forever)) as w:
            streams = [
                await asyncio.open_connection("127.0.0.1", w.server.port)
                for _ in range(NUM_CLIENTS)
            ]
            for _, writer in streams:
                writer.write(post(stream=True))
            for reader, _ in streams:
                await reader.readuntil(b"\n\n")
            assert w.router.num_open == NUM_CLIENTS
            for _, writer in streams:
                writer.close()
            await w.router.until_closed()
            assert "perfuse:gateway_open_requests 0.0" in (await w.http.get("/metrics")).text

    asyncio.run(main())


def test_a_client_that_vanishes_while_it_sends_leaves_no_trace():
    async def main() -> None:
        async with world() as w:
            for _ in range(10):
                _, writer = await asyncio.open_connection("127.0.0.1", w.server.port)
                writer.write(post()[:-3])
                await writer.drain()
                writer.close()
            assert (await w.http.get("/version")).status_code == 200
            assert w.router.requests == []

    asyncio.run(main())


def flood(request):
    """More text than any socket buffer takes."""
    for i in range(10_000):
        yield Output(request.request_id, i, (i,), "x" * 10_000)


async def deaf(w) -> asyncio.Transport:
    """A client that asks for a stream, and reads none of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", w.server.port))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    transport.pause_reading()
    transport.write(post(stream=True))
    await w.router.opened.wait()
    return transport


def test_a_client_that_stops_reading_is_given_up():
    async def main() -> None:
        async with world(FakeRouter(script=flood), stall_timeout_s=0.1) as w:
            client = await deaf(w)
            await w.router.until_closed()
            client.abort()

    asyncio.run(main())


def test_a_client_that_stops_reading_cannot_hold_up_the_end():
    async def main() -> None:
        async with world(FakeRouter(script=flood), drain_timeout_s=0.1) as w:
            client = await deaf(w)
            async with asyncio.timeout(10):
                await w.server.stop()
            assert w.router.num_open == 0
            client.abort()

    asyncio.run(main())

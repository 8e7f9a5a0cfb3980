"""What only the gRPC wire has: versions by name, what a stream begins with, idle connections."""

import asyncio
from typing import Any

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Wires
from workers.errors import PeerDead
from workers.wire.transport import grpc_library as library
from workers.wire.transport.grpc_links import ADDRESS, DIAL, NODE, TOKEN, GrpcLinks


def test_another_version_of_the_wire_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_tcp") as wires:
            a, b = await wires.start("a", "b")
            monkeypatch.setattr(
                library, "SERVICE", f"perfuse.v{library.VERSION + 1}.Wire"
            )  # of who dials from now on
            await a.mail.connect({"b": b.address})
            with pytest.raises(
                PeerDead, match=f"another version of the wire: this node speaks {library.VERSION}"
            ):
                await a.send("b", numbered(1))
            monkeypatch.undo()
            (c,) = await wires.start("c")
            await c.mail.connect({"b": b.address})
            await c.send("b", numbered(2))
            await b.received(1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "hello",
    [
        (),
        ((TOKEN, b"ours"),),
        ((TOKEN, b"ours"), (NODE, b"x")),
        ((TOKEN, b"ours"), (NODE, b"\xff\xfe"), (ADDRESS, b"here"), (DIAL, bytes(16))),
        ((TOKEN, b"ours"), (NODE, b"x" * 2_000), (ADDRESS, b"here"), (DIAL, bytes(16))),
        ((TOKEN, b"ours"), (NODE, b"x"), (ADDRESS, b"here")),
        ((TOKEN, b"ours"), (NODE, b"x"), (ADDRESS, b"here"), (DIAL, bytes(15))),
    ],
)
def test_a_stream_that_does_not_say_whose_it_is_is_refused(
    monkeypatch: pytest.MonkeyPatch, hello: library.Metadata
) -> None:
    """Also of one that knows the secret."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_tcp") as wires:
            a, b = await wires.start("a", "b")
            monkeypatch.setattr(GrpcLinks, "_hello", lambda links: hello)
            await a.mail.connect({"b": b.address})
            with pytest.raises(PeerDead, match="UNAUTHENTICATED"):
                await a.send("b", numbered(1))
            there: Any = b.mail.transport
            assert there.num_refused == 1 and there.last_refusal
            assert not there._links.by_name

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["grpc_tcp", "grpc_tls"])
def test_a_silent_stranger_is_sent_away(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """One that connects and says nothing holds its few bytes for so long, and not for ever."""
    bound = {"grpc.server_handshake_timeout_ms": 200}
    options = {**dict(library.SERVER_OPTIONS), **bound}
    assert set(bound) < set(dict(library.SERVER_OPTIONS))
    monkeypatch.setattr(library, "SERVER_OPTIONS", tuple(options.items()))

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            host, _, port = b.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            await reader.read()  # until it is closed
            writer.close()
            await a.send("b", numbered(1))
            await b.received(1)
            assert not a.deaths

    asyncio.run(scenario())


def test_strangers_beyond_the_limit_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They count with the peers; who has a stream keeps it."""
    bound = {"grpc.max_allowed_incoming_connections": 3}
    options = {**dict(library.SERVER_OPTIONS), **bound}
    assert set(bound) < set(dict(library.SERVER_OPTIONS))
    monkeypatch.setattr(library, "SERVER_OPTIONS", tuple(options.items()))

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_tcp") as wires:
            a, b = await wires.start("a", "b")
            await a.mail.connect({"b": b.address})  # the first connection
            host, _, port = b.address.rpartition(":")
            streams = []
            for heard in (True, True, False):
                reader, writer = await asyncio.open_connection(host, int(port))
                assert bool(await reader.read(1)) == heard
                streams.append(writer)
            await a.send("b", numbered(1))
            await b.received(1)
            for writer in streams:
                writer.close()
            assert not a.deaths

    asyncio.run(scenario())

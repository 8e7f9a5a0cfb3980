"""However gRPC says that a stream broke, its peer is lost, with the reason, and no task fails."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import aio

from workers.errors import PeerDead
from workers.wire.transport.grpc import GrpcTransport
from workers.wire.transport.grpc_link import GrpcLink

ERRORS = {
    "rpc": aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), details="the reason"
    ),
    "base": aio.BaseError("the reason"),
    "usage": aio.UsageError("the reason"),
    "state": asyncio.InvalidStateError("the reason"),
}


class Broken:
    """A stream that fails at whatever it is asked for."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def read(self) -> bytes:
        raise self._error

    async def write(self, packet: bytes) -> None:
        raise self._error


class Garbled:
    """A stream whose packets hold no frames."""

    async def read(self) -> bytes:
        return b"\xff"


async def lost(way: str, stream: Any) -> tuple[str, str]:
    """(the node that is reported, why) once the link has been read, or written to."""
    transport, told = GrpcTransport("a"), list[str]()
    transport._on_payload = lambda frame: None
    transport._on_peer_dead = lambda node, reason: told.append(f"{node}: {reason}")
    link = transport._links.by_name["b"] = GrpcLink("b", "nowhere", 1_000)
    link.stream, links = stream, transport._links
    link.outbox.put(b"frame")
    async with asyncio.timeout(5):
        await (links._read(link) if way == "read" else links._write(link))
    assert link.outbox.ended and link.gone.is_set()
    with pytest.raises(PeerDead) as caught:
        transport.send("b", [b"more"])
    return "".join(told), str(caught.value)


@pytest.mark.parametrize("way", ["read", "write"])
@pytest.mark.parametrize("name", list(ERRORS))
def test_an_error_of_the_stream_loses_its_peer(name: str, way: str) -> None:
    told, reason = asyncio.run(lost(way, Broken(ERRORS[name])))
    assert told.startswith("b: ") and "the reason" in told
    assert "the reason" in reason


def test_a_packet_that_is_no_packet_loses_its_peer() -> None:
    told, _ = asyncio.run(lost("read", Garbled()))
    assert told.startswith("b: ")


@pytest.mark.parametrize("way", ["read", "write"])
def test_a_bug_is_no_error_of_the_stream(way: str) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(lost(way, Broken(ZeroDivisionError())))

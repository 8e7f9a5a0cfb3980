"""Nodes with several wires: each pair has its own, and all else is as with one."""

import asyncio
import json
from collections.abc import Awaitable, Mapping

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import NEEDS_SHM, TIMEOUT_S, Node
from workers.errors import PeerDead
from workers.wire.mail import Frames, Mail
from workers.wire.transport.base import OnPayload, OnPeerDead, Transport
from workers.wire.transport.grpc import GrpcTransport
from workers.wire.transport.several import SeveralWires
from workers.wire.transport.shm import ShmTransport

pytestmark = NEEDS_SHM


class Counted:
    """A wire, and how many payloads it was given."""

    def __init__(self, wire: Transport) -> None:
        self.wire, self.num_sent = wire, 0
        self.start, self.connect, self.close = wire.start, wire.connect, wire.close

    def send(self, node: str, payload: object) -> Awaitable[None] | None:
        self.num_sent += 1
        return self.wire.send(node, payload)


class Refusing:
    """A wire that cannot listen."""

    def __init__(self) -> None:
        self.is_closed = False

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        raise OSError("no port is left")

    async def connect(self, addresses: Mapping[str, str]) -> None:
        raise AssertionError("it never listened")

    def send(self, node: str, payload: object) -> None:
        raise AssertionError("it never listened")

    async def close(self) -> None:
        self.is_closed = True


def wires_of(name: str) -> dict[str, Counted]:
    """Nodes with a "g" talk gRPC with all, the others share memory."""
    return {
        "grpc": Counted(GrpcTransport(name, unix=True)),
        "shm": Counted(ShmTransport(name)),
    }


async def started(name: str, wires: dict[str, Counted]) -> Node:
    def wire_to(peer: str, _: str) -> str:
        return "grpc" if "g" in name + peer else "shm"

    node = Node(name, Mail(SeveralWires(name, wires, wire_to), Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    return node


def test_each_pair_has_its_wire_and_a_death_is_heard_on_it() -> None:
    async def scenario() -> None:
        wires = {name: wires_of(name) for name in ("a", "b", "g")}
        nodes = {name: await started(name, own) for name, own in wires.items()}
        addresses = {name: node.address for name, node in nodes.items()}
        await asyncio.gather(*(node.mail.connect(addresses) for node in nodes.values()))
        for i in range(20):
            await nodes["a"].send("b", numbered(i))
            await nodes["a"].send("g", numbered(i))
        for name in ("b", "g"):
            assert [m.message_id for m in await nodes[name].received(20)] == list(range(20))
        assert {name: wire.num_sent for name, wire in wires["a"].items()} == {"grpc": 20, "shm": 20}
        await nodes["g"].mail.close()
        assert await nodes["a"].heard_of_deaths(1) == ["g"]
        with pytest.raises(PeerDead):
            await nodes["a"].send("g", numbered(20))
        await nodes["a"].send("b", numbered(20))
        assert len(await nodes["b"].received(21)) == 21
        await asyncio.gather(*(nodes[name].mail.close() for name in "ab"))

    asyncio.run(_bounded(scenario()))


def test_nobody_is_reached_before_it_is_connected() -> None:
    async def scenario() -> None:
        a = await started("a", wires_of("a"))
        with pytest.raises(PeerDead, match="node 'a' knows no peer 'b'"):
            await a.send("b", numbered(0))
        await a.mail.close()

    asyncio.run(_bounded(scenario()))


@pytest.mark.parametrize("address", ["unix:/nowhere", json.dumps({"grpc": "x"}), "[]", "7"])
def test_an_address_without_the_wire_is_named(address: str) -> None:
    async def scenario() -> None:
        a = await started("a", wires_of("a"))
        with pytest.raises(ValueError, match="node 'a' reaches node 'b' by shm, and its address"):
            await a.mail.connect({"b": address})
        await a.mail.close()

    asyncio.run(_bounded(scenario()))


def test_where_one_cannot_listen_none_does() -> None:
    async def scenario() -> None:
        refusing = Refusing()
        grpc = GrpcTransport("a", unix=True)
        wires = SeveralWires("a", {"grpc": grpc, "refusing": refusing}, lambda *_: "grpc")
        with pytest.raises(OSError, match="no port is left"):
            await wires.start(lambda _: None, lambda *_: None)
        assert refusing.is_closed
        with pytest.raises(PeerDead, match="is closed"):
            grpc.send("b", [b"frame"])

    asyncio.run(_bounded(scenario()))


async def _bounded(scenario: Awaitable[None]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await scenario

"""What only the gRPC wire has: processes, tokens, sockets and frames that arrive broken."""

import asyncio

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Node
from workers.errors import PeerDead
from workers.wire.mail import Frames, Mail
from workers.wire.message import Message
from workers.wire.transport.grpc import GrpcTransport


async def started(name: str, transport: GrpcTransport) -> Node:
    node = Node(name, Mail(transport, Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    return node


def test_a_node_with_another_token_is_refused() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a = await started("a", GrpcTransport("a", token="ours"))
            b = await started("b", GrpcTransport("b", token="theirs"))
            await a.mail.connect({"b": b.address})
            with pytest.raises(PeerDead, match="another cluster"):
                await a.send("b", numbered(1))
            with pytest.raises(PeerDead, match="knows no peer"):
                await b.send("a", numbered(1))
            await a.mail.close()
            await b.mail.close()

    asyncio.run(scenario())


def test_a_message_whose_checksum_fails_is_dropped_alone_and_counted() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a = await started("a", GrpcTransport("a"))
            b = await started("b", GrpcTransport("b"))
            await a.mail.connect({"b": b.address})
            broken = numbered(1)
            broken.checksum = 12345
            for message in (numbered(0), broken, numbered(2)):
                await a.send("b", message)
            assert [m.message_id for m in await b.received(2)] == [0, 2]
            assert b.mail.num_corrupt == 1
            assert not a.deaths
            await a.mail.close()
            await b.mail.close()

    asyncio.run(scenario())


def test_a_handler_that_raises_does_not_stop_the_wire() -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            errors: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context["message"]))
            a = await started("a", GrpcTransport("a"))
            b = Node("b", Mail(GrpcTransport("b"), Frames()))

            def on_message(message: Message) -> None:
                if message.message_id == 0:
                    raise KeyError("a bug")
                b.on_message(message)

            b.address = await b.mail.start(on_message, b.on_peer_dead)
            await a.mail.connect({"b": b.address})
            await a.send("b", numbered(0))
            await a.send("b", numbered(1))
            assert [m.message_id for m in await b.received(1)] == [1]
            assert errors == ["what node 'b' received ended in an error"]
            await a.mail.close()
            await b.mail.close()

    asyncio.run(scenario())

"""What only the gRPC wire has: processes, tokens, sockets and frames that arrive broken."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.workers.wire.parcel import Parcel
from tests.workers.wire.transport.messages import full_message, numbered, same
from tests.workers.wire.transport.wires import TIMEOUT_S, Node, Wires
from workers.errors import PeerDead
from workers.wire.mail import Frames, Mail
from workers.wire.message import Message
from workers.wire.transport import grpc as wire
from workers.wire.transport.grpc import GrpcTransport


async def started(name: str, transport: GrpcTransport) -> Node:
    node = Node(name, Mail(transport, Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    return node


@pytest.mark.parametrize("kind", ["grpc_tcp", "grpc_unix"])
def test_another_process_answers_with_what_it_was_sent(kind: str) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            (a,) = await wires.start("a")
            await a.mail.connect({"echo": await wires.start_mortal("echo")})
            sent = full_message()
            sent.source = "a"
            await a.send("echo", sent)
            (got,) = await a.received(1)
            assert same(got, sent)

    asyncio.run(scenario())


def test_a_killed_process_fails_those_who_wait_for_room() -> None:
    """No sender hangs on a peer that died while its buffer was full."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_unix") as wires:
            (a,) = await wires.start("a")
            await a.mail.connect({"echo": await wires.start_mortal("echo")})
            sends = [
                asyncio.create_task(a.send("echo", numbered(i, 1024 * 1024))) for i in range(20)
            ]
            await asyncio.sleep(0)  # lets the sends fill the buffer
            wires.crash("echo")
            results = await asyncio.gather(*sends, return_exceptions=True)
            assert {type(result) for result in results} == {type(None), PeerDead}
            assert await a.heard_of_deaths(1) == ["echo"]

    asyncio.run(scenario())


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


def test_an_address_that_is_another_nodes_is_not_taken_for_the_peer() -> None:
    """A port may be given to another process once its owner is gone."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a = await started("a", GrpcTransport("a"))
            c = await started("c", GrpcTransport("c"))
            await a.mail.connect({"b": c.address})
            with pytest.raises(PeerDead, match="address of node 'c'"):
                await a.send("b", numbered(1))
            await a.mail.close()
            await c.mail.close()
            assert not c.inbox

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


def test_a_message_beyond_the_limit_is_the_senders_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not break the stream, which others use."""
    monkeypatch.setattr(wire, "MESSAGE_BYTES_MAX", 4096)

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            a = await started("a", GrpcTransport("a"))
            b = await started("b", GrpcTransport("b"))
            await a.mail.connect({"b": b.address})
            huge = Message(Parcel(tensors={"t": np.zeros(5000, np.uint8)}), "x", "y")
            with pytest.raises(ValueError, match="at most 4096"):
                await a.send("b", huge)
            await a.send("b", numbered(1))
            await b.received(1)
            await a.mail.close()
            await b.mail.close()

    asyncio.run(scenario())


def test_a_unix_socket_lives_in_a_private_folder_until_close() -> None:
    async def scenario() -> None:
        a = await started("a", GrpcTransport("a", unix=True))
        folder = Path(a.address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        await a.mail.close()
        assert not folder.exists()

    asyncio.run(scenario())


def test_an_address_that_cannot_be_listened_on_is_named() -> None:
    async def scenario() -> None:
        transport = GrpcTransport("a", host="203.0.113.1")  # RFC 5737: documentation only, nobody's
        with pytest.raises(OSError, match=r"203\.0\.113\.1"):
            await transport.start(lambda message: None, lambda node, reason: None)
        await transport.close()

    asyncio.run(scenario())

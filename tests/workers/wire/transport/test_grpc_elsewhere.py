"""A peer that dials from elsewhere is its next incarnation: what waits for the last is not its."""

import asyncio
import socket

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Wires


def test_what_waits_for_a_silent_address_does_not_go_to_who_dials_from_another() -> None:
    """a still dials b where it was, with a message for it, and nobody there answers; b returns
    elsewhere and dials a.
    """

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_tcp") as wires:
            a, b = await wires.start("a", "b")
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            dialling = asyncio.create_task(a.mail.connect({"b": address}))
            await asyncio.sleep(0)
            await a.send("b", numbered(1))
            await b.mail.connect({"a": a.address})
            await b.send("a", numbered(2))
            assert [m.message_id for m in await a.received(1)] == [2]
            assert await a.heard_of_deaths(1) == ["b"], "of the one that it was dialling"
            await a.send("b", numbered(3))
            assert [m.message_id for m in await b.received(1)] == [3]
            await dialling

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(scenario())

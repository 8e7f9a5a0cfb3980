"""A closed wire leaves no task behind: none reads or writes for a node that is gone."""

import asyncio

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import TIMEOUT_S, Wires
from workers.wire.transport.grpc import GrpcTransport
from workers.wire.transport.grpc_links import GrpcLinks

# Coroutines of one link; `accept` belongs to gRPC's server, which awaits it.
OF_A_LINK = tuple(getattr(GrpcLinks, name).__qualname__ for name in ("_dial", "_read", "_write"))


def running() -> list[str]:
    tasks = (task for task in asyncio.all_tasks() if not task.done())
    names = [getattr(task.get_coro(), "__qualname__", "") for task in tasks]
    return [name for name in names if name in OF_A_LINK]


@pytest.mark.parametrize("first", ["dialler", "acceptor"])
def test_a_closed_wire_has_no_task_left(first: str) -> None:
    """Each side has one that writes and one that reads; whoever closes first ends its own."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_unix") as wires:
            a, b = await wires.start("a", "b")
            await a.mail.connect({"b": b.address})
            await a.send("b", numbered(1))
            await b.received(1)
            sides = (a, b) if first == "dialler" else (b, a)
            mine = sides[0].mail.transport
            await sides[0].mail.close()
            assert isinstance(mine, GrpcTransport)
            left = [t for link in mine._links.by_name.values() for t in link.tasks if not t.done()]
            assert left == []
            await sides[1].mail.close()
            assert running() == []

    asyncio.run(scenario())


def test_a_link_that_is_lost_is_read_no_more() -> None:
    """The acceptor loses it, as when the peer dials again: its reader is ended at once, not when
    the old stream may end.
    """

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires("grpc_unix") as wires:
            a, b = await wires.start("a", "b")
            await a.mail.connect({"b": b.address})
            await a.send("b", numbered(1))
            await b.received(1)
            there = b.mail.transport
            assert isinstance(there, GrpcTransport)
            (link,) = there._links.by_name.values()
            assert len(running()) == 4, "each side writes and reads, the dialler in its dial"
            there._links.lose(link, "a test")
            await asyncio.sleep(0)
            assert all(task.cancelling() or task.done() for task in link.tasks)
            assert len(link.tasks) == 2, "one writes, one reads"
            assert await b.heard_of_deaths(1) == ["a"]

    asyncio.run(scenario())

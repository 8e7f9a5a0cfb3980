"""A dial that is heard late, after its stream or its whole incarnation has ended."""

import asyncio
from typing import Any

import pytest

from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import DOORS, TIMEOUT_S, Wires, ids
from workers.wire.transport import grpc_library, handshake
from workers.wire.transport.dials import GONE_MAX, Dials
from workers.wire.transport.door import knock
from workers.wire.transport.grpc_links import GrpcLinks


def test_a_dial_is_late_once_a_later_one_or_an_answer_was_heard() -> None:
    here, there = Dials(), Dials()
    there.begin()
    first = there.told()
    assert not here.is_late("b", first)
    here.heard("b", first)
    assert here.is_late("b", first), "each is heard once"
    there.begin()
    second = there.told()
    there.begin()
    third = there.told()
    assert not here.is_late("b", third) and not here.is_late("b", second)
    here.heard("b", third)
    assert here.is_late("b", second) and not here.is_late("c", second)


def test_an_incarnation_that_another_has_followed_never_dials_again() -> None:
    here, old, new = Dials(), Dials(), Dials()
    for one in (old, new):
        one.begin()
    here.heard("b", old.told())
    old.begin()
    here.heard("b", new.told())
    assert here.is_late("b", old.told()) and here.is_late("b", new.told())
    new.begin()
    assert not here.is_late("b", new.told())


def test_a_late_answer_of_an_incarnation_that_is_gone_changes_nothing() -> None:
    here, old, new = Dials(), Dials(), Dials()
    here.heard("b", old.told())
    new.begin()
    here.heard("b", new.told())
    old.begin()
    here.heard("b", old.told())
    new.begin()
    assert not here.is_late("b", new.told()) and here.is_late("b", old.told())


def test_a_dial_that_crosses_this_node_s_own_is_not_heard() -> None:
    """Who restarts where it stood may cross a dial that its last incarnation answers: it is let in
    when it dials again.
    """

    async def scenario() -> None:
        links, old, new = GrpcLinks("a", b"", 1, print, print, None), Dials(), Dials()
        link = links._new("b", "there")  # as dialled, before an answer
        new.begin()
        assert links.admit("b", "there", new.told()) is None
        links.dials.heard("b", old.told())
        links.lose(link, "its connection broke")
        new.begin()
        assert links.admit("b", "there", new.told()) is not None

    asyncio.run(scenario())


def test_of_those_that_are_gone_so_many_are_kept() -> None:
    here, many = Dials(), [Dials() for _ in range(GONE_MAX + 3)]
    for one in many:
        one.begin()
        here.heard("b", one.told())
    late = [here.is_late("b", one.told()) for one in many]
    assert late == [False, False, *[True] * (GONE_MAX + 1)]


@pytest.mark.parametrize("kind", ["grpc_tcp", "grpc_tls", "grpc_unix", *DOORS])
def test_a_dial_of_a_dead_peer_does_not_end_the_link_of_its_next_incarnation(kind: str) -> None:
    """It lay in a busy node's queue meanwhile."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, old = await wires.connected("a", "b")
            transport: Any = old.mail.transport
            links = transport._links
            say = late_stream(links) if kind.startswith("grpc") else late_knock(links)
            await old.mail.close()
            await a.heard_of_deaths(1)
            (new,) = await wires.start("b")
            await new.mail.connect({"a": a.address})
            await say(a.address)
            await a.send("b", numbered(1))
            assert ids(await new.received(1)) == [1]
            assert a.deaths == ["b"] and not new.deaths

    asyncio.run(scenario())


def late_stream(links: Any) -> Any:
    hello, certificates = links._hello(), links._certificates

    async def say(address: str) -> None:
        channel = grpc_library.open_channel(address, certificates)
        call: Any = grpc_library.open_stream(channel, hello)
        assert await grpc_library.is_crossed(call)
        await channel.close()

    return say


def late_knock(links: Any) -> Any:
    secret, said = links._secret, links._introduction(b"some tag")

    async def say(address: str) -> None:
        reader, stream = await knock(address)
        with pytest.raises(handshake.Crossed):
            await handshake.dial(reader, stream, secret, said)
        stream.close()

    return say

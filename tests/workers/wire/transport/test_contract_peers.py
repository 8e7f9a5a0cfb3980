"""Who is reached at which address, on every wire: `workers/wire/transport/base.py`."""

import asyncio
import os
import stat
from typing import Any

import pytest

from tests.certificates import cluster_folder
from tests.workers.wire.transport.making import make_wire
from tests.workers.wire.transport.messages import numbered
from tests.workers.wire.transport.wires import DOORS, TCP, TIMEOUT_S, UNIX, Run, Wires, ids
from workers.errors import PeerDead
from workers.wire.transport.door import knock
from workers.wire.transport.handshake import MAGIC, OPENING, VERSION


def test_an_unknown_node_is_dead(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, _ = await wires.connected("a", "b")
        with pytest.raises(PeerDead, match="nobody"):
            await a.send("nobody", numbered(1))

    run(scenario)


def test_an_address_where_nobody_listens_raises_at_send_not_at_connect(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.start("a", "b")
        await b.mail.close()
        await a.mail.connect({"b": b.address})
        with pytest.raises(PeerDead, match="b"):
            await a.send("b", numbered(1))
        assert a.deaths == []  # it was never connected

    run(scenario)


@pytest.mark.parametrize("who_connects", ["survivor", "newcomer", "both"])
def test_a_peer_that_comes_back_elsewhere_is_reached_at_its_new_address(
    run: Run, who_connects: str
) -> None:
    async def scenario(wires: Wires) -> None:
        a, old = await wires.connected("a", "b")
        await old.mail.close()
        await a.heard_of_deaths(1)
        (new,) = await wires.start("b")
        assert new.address != old.address
        if who_connects != "newcomer":
            await a.mail.connect({"a": a.address, "b": new.address})
        if who_connects != "survivor":
            await new.mail.connect({"a": a.address, "b": new.address})
        await a.send("b", numbered(1))
        await new.received(1)
        await new.send("a", numbered(2))
        assert ids(await a.received(1)) == [2]
        assert a.deaths == ["b"] and not old.inbox

    run(scenario)


def test_connecting_again_to_the_same_address_changes_nothing(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        await a.mail.connect({"b": b.address})
        await b.mail.connect({"a": a.address})
        await a.send("b", numbered(1))
        await b.received(1)
        assert a.deaths == b.deaths == []

    run(scenario)


def test_an_address_that_is_another_nodes_is_not_taken_for_the_peer(run_framed: Run) -> None:
    """A port may be given to another process once its owner is gone."""

    async def scenario(wires: Wires) -> None:
        a, c = await wires.start("a", "c")
        await a.mail.connect({"b": c.address})
        with pytest.raises(PeerDead, match="address of node 'c'"):
            await a.send("b", numbered(1))
        assert not c.inbox

    run_framed(scenario)


@pytest.mark.parametrize("kind", TCP)
def test_an_address_that_cannot_be_listened_on_is_named(kind: str) -> None:
    async def scenario() -> None:
        # RFC 5737: documentation only, nobody's
        wire = make_wire(kind, "a", host="203.0.113.1", certificates=cluster_folder())
        with pytest.raises(OSError, match=r"node 'a' cannot listen on '203\.0\.113\.1"):
            await wire.start(lambda message: None, lambda node, reason: None)
        await wire.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", TCP)
def test_a_port_that_is_taken_is_named_and_its_owner_is_not_disturbed(kind: str) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            port = int(b.address.rpartition(":")[2])
            late = wires.wire("late", port=port)
            with pytest.raises(
                OSError, match=rf"node 'late' cannot listen on '127\.0\.0\.1:{port}'"
            ):
                await late.start(lambda message: None, lambda node, reason: None)
            await late.close()
            await a.send("b", numbered(1))
            assert ids(await b.received(1)) == [1]
            assert not a.deaths and not b.deaths

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", UNIX)
def test_a_unix_socket_is_this_user_s_alone_and_goes_with_its_node(kind: str) -> None:
    """Its folder lets nobody else in, so on one machine nobody else can knock."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            (a,) = await wires.start("a")
            path = a.address.removeprefix("unix:")
            folder, socket = os.stat(os.path.dirname(path)), os.stat(path)
            assert stat.S_ISSOCK(socket.st_mode)
            assert (folder.st_mode & 0o777, socket.st_mode & 0o777) == (0o700, 0o600)
            await a.mail.close()
            with pytest.raises(FileNotFoundError):
                os.stat(os.path.dirname(path))

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", DOORS)
def test_another_version_at_a_door_is_named_on_both_sides(kind: str) -> None:
    """gRPC has it in the name of its service: `test_grpc`."""

    async def scenario() -> None:
        async with asyncio.timeout(TIMEOUT_S), Wires(kind) as wires:
            a, b = await wires.connected("a", "b")
            reader, writer = await knock(b.address)
            writer.write(OPENING.pack(MAGIC, VERSION + 1, bytes(32)))
            said = await reader.read()
            writer.close()
            reason = f"it speaks version {VERSION + 1} of the wire: this node speaks {VERSION}"
            assert said.endswith(reason.encode())
            refusing: Any = b.mail.transport
            assert (refusing.num_refused, refusing.last_refusal) == (1, reason)
            await a.send("b", numbered(1))
            assert ids(await b.received(1)) == [1]
            assert not a.deaths and not b.deaths

    asyncio.run(scenario())

"""What every wire promises, whatever it is made of: `workers/wire/transport/base.py`."""

import asyncio
from contextlib import suppress

import numpy as np
import pytest

from tests.workers.wire.parcel import Parcel
from tests.workers.wire.transport.messages import full_message, numbered, same
from tests.workers.wire.transport.wires import (
    OUTBOX_BYTES,
    Node,
    Run,
    Wires,
    ids,
    queued_bytes,
)
from workers.errors import PeerDead
from workers.wire.message import Message
from workers.wire.transport import linked


def test_messages_arrive_once_and_in_order_in_both_directions_at_once(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")

        async def send_all(node: str, sender: Node) -> None:
            for i in range(300):
                size_bytes = 8 if i % 7 else 40_000  # some alone in their packet, most together
                await sender.send(node, numbered(i, size_bytes))

        await asyncio.gather(send_all("b", a), send_all("a", b))
        assert ids(await b.received(300)) == ids(await a.received(300)) == list(range(300))
        assert all((m.content.tensors["t"] == m.message_id).all() for m in a.inbox + b.inbox)

    run(scenario)


def test_a_message_arrives_as_it_was_sent_and_arrays_are_read_only(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        sent = full_message()
        await a.send("b", sent)
        (got,) = await b.received(1)
        assert same(got, sent)
        for array in got.content.arrays():
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0

    run(scenario)


def test_four_nodes_all_reach_each_other(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        nodes = await wires.connected("a", "b", "c", "d")
        for i, sender in enumerate(nodes):
            for receiver in nodes:
                if receiver is not sender:
                    await sender.send(receiver.name, numbered(i))
        for i, node in enumerate(nodes):
            assert sorted([i, *ids(await node.received(3))]) == [0, 1, 2, 3]
            assert not node.deaths

    run(scenario)


def test_one_side_that_connects_is_enough(run: Run) -> None:
    """Nodes learn addresses one after the other; who was dialled can answer at once."""

    async def scenario(wires: Wires) -> None:
        a, b, c = await wires.start("a", "b", "c")
        await b.mail.connect({"a": a.address, "c": c.address})
        for node in (a, c):
            await b.send(node.name, numbered(1))
            await node.received(1)
            await node.send("b", numbered(2))
        assert ids(await b.received(2)) == [2, 2]

    run(scenario)


def test_a_sender_waits_while_the_wire_is_full(run: Run) -> None:
    """What waits in the sender is bounded by its buffer and one message, however fast it sends."""

    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        size_bytes, number = 32 * 1024, 100
        for i in range(number):
            await a.send("b", numbered(i, size_bytes))
            assert queued_bytes(a, "b") <= OUTBOX_BYTES + size_bytes + 1024
        assert ids(await b.received(number)) == list(range(number))

    run(scenario)


def test_many_senders_to_one_full_wire_keep_their_turns(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        number = 60
        sends = [a.send("b", numbered(i, 32 * 1024)) for i in range(number)]
        await asyncio.gather(*sends)
        assert ids(await b.received(number)) == list(range(number))

    run(scenario)


def test_a_message_of_8_mb_arrives(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        tensor = np.arange(8 * 1024 * 1024 // 4, dtype=np.int32)
        sent = Message(Parcel(tensors={"blocks": tensor}), "chip", "pool")
        await a.send("b", sent)
        await a.send("b", numbered(1))
        got = await b.received(2)
        assert same(got[0], sent) and same(got[1], numbered(1))

    run(scenario)


def test_a_crash_is_reported_once_and_sends_raise(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, c = await wires.connected("a", "c")
        address = await wires.start_mortal("b")
        await asyncio.gather(a.mail.connect({"b": address}), c.mail.connect({"b": address}))
        await a.send("b", numbered(1))
        wires.crash("b")
        for node in (a, c):
            assert await node.heard_of_deaths(1) == ["b"]
            with pytest.raises(PeerDead, match="b"):
                await node.send("b", numbered(2))
        await a.send("c", numbered(3))
        await c.received(1)
        assert a.deaths == c.deaths == ["b"]

    run(scenario)


def test_a_node_that_closes_is_dead_to_its_peers(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b, c = await wires.connected("a", "b", "c")
        await b.mail.close()
        for node in (a, c):
            assert await node.heard_of_deaths(1) == ["b"]
            with pytest.raises(PeerDead):
                await node.send("b", numbered(1))
        assert b.deaths == []  # it left them, not they it

    run(scenario)


@pytest.mark.parametrize("closing", ["a", "b"])
def test_what_was_sent_before_close_arrives(run: Run, closing: str) -> None:
    """Either end of the stream may be the one that closes."""

    async def scenario(wires: Wires) -> None:
        nodes = {node.name: node for node in await wires.start("a", "b")}
        await nodes["a"].mail.connect({"b": nodes["b"].address})
        sender, receiver = nodes[closing], nodes["b" if closing == "a" else "a"]
        for i in range(50):
            await sender.send(receiver.name, numbered(i, 16 * 1024))
        await sender.mail.close()
        assert ids(await receiver.received(50)) == list(range(50))

    run(scenario)


def test_after_close_sends_raise_and_close_may_be_repeated(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        await a.mail.close()
        await a.mail.close()
        for node in ("b", "a"):
            with pytest.raises(PeerDead):
                await a.send(node, numbered(1))
        assert not b.inbox

    run(scenario)


def test_a_cancelled_sender_leaves_the_wire_in_order(run: Run) -> None:
    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        sends = [asyncio.ensure_future(a.send("b", numbered(i, 64 * 1024))) for i in range(30)]
        for send in sends[::3]:
            send.cancel()
        for send in sends:
            with suppress(asyncio.CancelledError):
                await send
        await a.send("b", numbered(99))
        while not b.inbox or b.inbox[-1].message_id != 99:
            await b.received(len(b.inbox) + 1)
        assert ids(b.inbox) == [i for i in range(30) if i % 3] + [99]

    run(scenario)


def test_another_process_answers_with_what_it_was_sent(run_framed: Run) -> None:
    async def scenario(wires: Wires) -> None:
        (a,) = await wires.start("a")
        await a.mail.connect({"echo": await wires.start_mortal("echo")})
        sent = full_message()
        sent.source = "a"
        await a.send("echo", sent)
        (got,) = await a.received(1)
        assert same(got, sent)

    run_framed(scenario)


def test_a_message_beyond_the_limit_is_the_senders_error(
    run_framed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not break the link, which others use."""
    monkeypatch.setattr(linked, "MESSAGE_BYTES_MAX", 4096)

    async def scenario(wires: Wires) -> None:
        a, b = await wires.connected("a", "b")
        with pytest.raises(ValueError, match="at most 4096"):
            await a.send("b", numbered(0, 5000))
        await a.send("b", numbered(1))
        await b.received(1)

    run_framed(scenario)

"""Incarnations: what a dead one said, or was told, reaches nobody; the next one starts afresh."""

import random

import pytest

from tests.workers.bench import SECOND_NS, Bench, make_link
from tests.workers.wire.calls import assert_idle
from tests.workers.wire.parcel import Parcel
from workers.errors import PeerDead
from workers.wire.calls import Handled
from workers.wire.membership import Member, Membership
from workers.wire.message import Message

NUM_RESTARTS = 1_000


def member(node: str, epoch: int) -> Member:
    return Member(node, epoch, make_link(), f"{node}/{epoch}")


def test_an_incarnation_replaces_the_one_before_it_and_no_newer_one() -> None:
    members = Membership({"chip": "a"})
    told: list[str] = []
    members.on_join.append(lambda m: told.append(f"+{m.node}{m.epoch}"))
    members.on_leave.append(lambda m, reason: told.append(f"-{m.node}{m.epoch} {reason}"))
    with pytest.raises(PeerDead, match="chip on a is gone: it never joined"):
        members.reach("chip")
    members.join(member("a", 1))
    assert members.reach("chip").epoch == 1 and members.lives("a", 1)
    members.join(member("a", 3))
    members.join(member("a", 2))  # late news of one that is dead by now
    members.join(member("a", 3))
    assert members.reach("chip").epoch == 3 and not members.lives("a", 1)
    members.leave("a", "it burnt")
    members.leave("a", "again")
    with pytest.raises(PeerDead, match="chip on a is gone: it burnt"):
        members.reach("chip")
    members.join(member("a", 3))  # that very incarnation never comes back
    assert members.member("a") is None
    members.join(member("a", 4))
    assert members.lives("a", 4)
    assert told == ["+a1", "-a1 its incarnation 3 came", "+a3", "-a3 it burnt", "+a4"]
    with pytest.raises(PeerDead, match="no worker 'zeppelin'"):
        members.reach("zeppelin")


def test_workers_come_and_go_and_whoever_holds_the_directory_sees_it() -> None:
    members = Membership({"chip": "a", "other": "b"})
    held = members.directory
    members.join(member("a", 1))
    members.become({"chip": "a", "more": "a"})
    assert held == {"chip": "a", "more": "a"} and members.node_of("other") is None
    assert members.reach("more") == members.member("a")


def test_a_restarted_peer_s_first_calls_are_no_repetitions() -> None:
    """Its message ids begin at 1 again, as those of its predecessor did."""

    async def job(bench: Bench) -> None:
        asked: list[tuple[int, int]] = []

        def answer(message: Message[Parcel]) -> Parcel:
            asked.append((message.source_epoch, message.content.body["x"]))
            return Parcel({"x": 2 * message.content.body["x"]})

        bench.port("b").on(Parcel, answer)
        for epoch in (1, 2, 3):
            for x in (10, 11):
                deadline_ns = bench.clock.now() + SECOND_NS
                reply = await bench.port("a").call("b", Parcel({"x": x}), deadline_ns=deadline_ns)
                assert reply.body == {"x": 2 * x}
            assert asked[-2:] == [(epoch, 10), (epoch, 11)]
            await bench.restart("a")
        assert bench.clock.now() < 100_000, "nothing was repeated, nothing waited for"

    Bench("a", "b").run(job)


def test_calls_to_a_peer_that_restarts_fail_and_the_next_ones_reach_its_successor() -> None:
    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda m: Handled.LATER)
        call = bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)
        task = bench.node("a").spawn(call, "call")
        await bench.clock.wait_until(50_000)
        again = await bench.restart("b")
        with pytest.raises(PeerDead):
            await task
        again.port("b").on(Parcel, lambda m: Parcel({"epoch": again.epoch}))
        reply = await bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)
        assert reply.body == {"epoch": 2}
        assert_idle(bench)

    Bench("a", "b").run(job, failures_expected=True)


@pytest.mark.parametrize("through_frames", [False, True])
def test_what_was_on_its_way_when_its_sender_died_is_delivered_to_nobody(
    through_frames: bool,
) -> None:
    async def job(bench: Bench) -> None:
        seen: list[int] = []
        bench.port("b").on(Parcel, lambda m: seen.append(m.source_epoch))
        await bench.port("a").send("b", Parcel(charged=10_000))
        await bench.clock.wait_until(5_000)
        await bench.restart("a")
        await bench.port("a").send("b", Parcel(charged=100))
        await bench.clock.wait_until(100_000)
        assert seen == [2]

    Bench("a", "b", through_frames=through_frames).run(job)


class Chatterers:
    """Nodes that call each other without pause. Each handler checks that caller and called are the
    incarnations that live.
    """

    def __init__(self, bench: Bench, names: tuple[str, ...], rng: random.Random) -> None:
        self.bench, self.names, self.rng = bench, names, rng
        self.num_answered = self.num_failed = 0

    def stand(self, name: str) -> None:
        node, nodes = self.bench.nodes[name], self.bench.nodes
        ran: set[tuple[str, int, int]] = set()

        def answer(message: Message[Parcel]) -> Parcel:
            assert message.source_epoch == nodes[message.source].epoch, "a dead caller"
            assert message.destination_epoch == nodes[name].epoch == node.epoch
            key = (message.source, message.source_epoch, message.message_id)
            assert key not in ran, "a repetition ran"
            ran.add(key)
            return Parcel({"epoch": node.epoch})

        node.port(name).on(Parcel, answer)
        node.spawn(self._chatter(name), f"chatter of {name}")

    async def call(self, source: str, to: str) -> int:
        content = Parcel(charged=self.rng.choice((64, 400, 3_000)))
        deadline_ns = self.bench.clock.now() + SECOND_NS
        reply = await self.bench.port(source).call(to, content, deadline_ns=deadline_ns)
        epoch: int = reply.body["epoch"]
        return epoch

    async def _chatter(self, name: str) -> None:
        while True:
            try:
                await self.call(name, self.rng.choice([n for n in self.names if n != name]))
                self.num_answered += 1
            except PeerDead:
                self.num_failed += 1
                await self.bench.clock.wait_until(self.bench.clock.now() + 100)


def test_a_thousand_random_restarts() -> None:
    """After each restart the new one calls every other and is called by it: none is refused."""
    rng, names = random.Random(5), ("a", "b", "c", "d")

    async def job(bench: Bench) -> None:
        chat = Chatterers(bench, names, rng)
        for name in names:
            chat.stand(name)
        for _ in range(NUM_RESTARTS):
            await bench.clock.wait_until(bench.clock.now() + rng.randrange(1, 9_000))
            name = rng.choice(names)
            node = await bench.restart(name)
            chat.stand(name)
            for other in names:
                if other != name:
                    assert await chat.call(name, other) == bench.nodes[other].epoch
                    assert await chat.call(other, name) == node.epoch
        assert chat.num_answered > 5 * NUM_RESTARTS and chat.num_failed > NUM_RESTARTS / 4

    Bench(*names).run(job)

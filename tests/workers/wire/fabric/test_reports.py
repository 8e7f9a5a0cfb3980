"""Machines that share no segment tell each other what leaves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from configs.schema.link import LinkSpec
from tests.workers.wire.fabric.test_shared import Waits, shared
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.wire.fabric.counts import LinkCount, NetworkCounts, TalkCount, together
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.reports import Reports
from workers.wire.fabric.traffic import CLASSES
from workers.wire.membership import Member, Membership
from workers.wire.message import Message
from workers.wire.notes import Notes
from workers.wire.peer import Peer
from workers.wire.transport.frame import decode, encode

PERIOD_NS = 100


class Told:
    """Notes that are there at once, through a frame."""

    def __init__(self, machines: Mapping[str, "Told"]) -> None:
        self.hear: dict[type[Any], Any] = {}
        self.machines, self.num_told = machines, 0

    def tell(self, peer: Any, note: Any) -> None:
        self.num_told += 1
        heard = decode(encode(Message(note, "a", "b"))).content
        self.machines[peer].hear[type(heard)](None, heard)


def stand(clock: VirtualClock, path: Path) -> tuple[dict[str, SharedLinks], dict[str, Told]]:
    """Machines left and right with a node each of the same name, and what each is told."""
    machines: dict[str, Told] = {}
    links = {name: shared("fair", clock, path / name, grace_ns=10**9) for name in ("left", "right")}
    machines |= {name: Told(machines) for name in links}
    link = LinkSpec(name="own", latency_ns=0, bytes_per_s=10**9)
    for name, own in links.items():
        members = Membership({})
        peers = cast(Mapping[str, Peer], {other: other for other in links if other != name})
        notes = cast(Notes, machines[name])
        reports = Reports(clock, own, name, PERIOD_NS, notes, peers, members)
        for other in links:
            members.join(Member(other, 1, link, machine=other))
        assert reports.has_others
    return links, machines


def test_a_link_is_shared_with_what_left_elsewhere(tmp_path: Path) -> None:
    """`a` moves a byte a ns. 1,000 bytes leave left at 0, and are told of at 100; 500 leave right
    at 200 and have half of it: right knows what one table would, left hears at 300 of what is there
    from 200 on.
    """
    clock = VirtualClock()
    links, machines = stand(clock, tmp_path)
    first, second = Waits(clock), Waits(clock)

    async def run() -> None:
        links["left"].start_message(0, 1_000, ("a",), (0,), first, 1, 0)
        await clock.wait_until(200)
        links["right"].look(200)
        assert links["right"].load("a", 200) == 1 and links["right"].load("b", 200) == 0
        links["right"].start_message(200, 500, ("a",), (0,), second, 1, 0)
        await clock.wait_until(10_000)
        for own in links.values():
            own.go_on(10_000)
            assert own.moved_bytes("a", 10_000) == 1_500
        assert [told.num_told for told in machines.values()] == [1, 1]

    loop = virtual_loop(clock)
    loop.run_until_complete(run())
    loop.close()
    assert second.told == [(1_200, 1_200)]
    assert first.told == [(1_500, 1_500)]


def test_what_is_told_is_told_once(tmp_path: Path) -> None:
    """Of what came from elsewhere nothing goes back, and an idle machine says nothing."""
    clock = VirtualClock()
    links, machines = stand(clock, tmp_path)

    async def run() -> None:
        for i in range(40):
            links["left"].start_message(clock.now(), 10, ("a", "b"), (0, i), Waits(clock), 1, 0)
            await clock.wait_until(clock.now() + 10)
        await clock.wait_until(10**6)
        links["right"].go_on(10**6)
        assert links["right"].moved_bytes("b", 10**6) == 400
        assert machines["right"].num_told == 0 and 4 <= machines["left"].num_told <= 5

    loop = virtual_loop(clock)
    loop.run_until_complete(run())
    loop.close()


def test_counts_of_two_machines_are_one_account() -> None:
    """Who spoke is known where it left, once however many nodes are asked; links by the first."""
    one, two = (1, *[0] * (len(CLASSES) - 1)), (2, *[0] * (len(CLASSES) - 1))
    left = NetworkCounts(
        9, {"a": LinkCount(one, 30, 5, 2)}, {("l", "r"): TalkCount(one, one, 10)}, "left", True
    )
    right = NetworkCounts(
        9, {"a": LinkCount(two, 29, 4, 2), "b": LinkCount(two, 20, 3, 1)},
        {("r", "l"): TalkCount(two, two, 20)}, "right", True,
    )  # fmt: skip
    whole = together([left, right, left, right])
    three = tuple(a + b for a, b in zip(one, two, strict=True))
    assert whole.links == {"a": LinkCount(three, 30, 5, 2), "b": LinkCount(two, 20, 3, 1)}
    assert whole.talk == {**left.talk, **right.talk} and whole.is_estimated

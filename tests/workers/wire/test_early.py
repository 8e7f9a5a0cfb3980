"""Calls that come before a node's workers stand: they wait for them, and each is answered once."""

import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import assert_idle
from tests.workers.wire.parcel import Parcel
from workers.errors import PerfuseError
from workers.wire.message import Message


def test_calls_for_a_node_that_stands_up_are_answered_in_order_when_it_does() -> None:
    async def job(bench: Bench) -> None:
        incoming = bench.node("b").endpoint.incoming
        incoming.hold()
        calls = [
            bench.node("a").spawn(
                bench.port("a").call("b", Parcel({"x": x}), deadline_ns=SECOND_NS), f"{x}"
            )
            for x in range(3)
        ]
        # Long enough for the callers to ask again.
        await bench.clock.wait_until(SECOND_NS // 2)
        seen: list[int] = []

        def answer(message: Message[Parcel]) -> Parcel:
            seen.append(message.content.body["x"])
            return Parcel({"x": 2 * seen[-1]})

        bench.port("b").on(Parcel, answer)
        incoming.open()
        assert [(await call).body["x"] for call in calls] == [0, 2, 4]
        assert seen == [0, 1, 2], "a repetition ran"
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_whoever_is_not_there_when_a_node_stands_is_nobody() -> None:
    async def job(bench: Bench) -> None:
        incoming = bench.node("b").endpoint.incoming
        incoming.hold()
        call = bench.node("a").spawn(_refused(bench), "call")
        await bench.clock.wait_until(SECOND_NS // 2)
        incoming.open()
        await call

    Bench("a", "b").run(job)


async def _refused(bench: Bench) -> None:
    with pytest.raises(PerfuseError, match="b does not understand 'parcel'"):
        await bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)

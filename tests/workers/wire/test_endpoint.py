"""How workers talk: a call is answered once or fails clearly, and nothing is left."""

import asyncio

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import Each, assert_idle, double, echo
from tests.workers.wire.parcel import Parcel
from workers.errors import (
    ContextTooLong,
    DeadlineExceeded,
    PeerDead,
    PerfuseError,
    QueueFull,
)
from workers.wire.calls import Handled
from workers.wire.message import Message
from workers.wire.peer import CREDITS_PER_PEER
from workers.wire.rules import Drop, Duplicate


@pytest.mark.parametrize("through_frames", [False, True])
def test_a_call_is_answered_with_body_columns_and_tensors(through_frames: bool) -> None:
    async def job(bench: Bench) -> None:
        async def swap(message: Message[Parcel]) -> Parcel:
            await bench.clock.wait_until(bench.clock.now() + 500)
            assert message.request_id == "r7"
            return Parcel({"n": 1}, dict(message.content.tensors), dict(message.content.columns))

        bench.port("b").on(Parcel, swap)
        columns, tensors = {"c": np.arange(3)}, {"t": np.eye(3, dtype=np.float32)}
        reply = await bench.port("a").call(
            "b", Parcel({}, columns, tensors), deadline_ns=SECOND_NS, request_id="r7"
        )
        assert reply.body == {"n": 1}
        assert np.array_equal(reply.tensors["c"], np.arange(3))
        assert np.array_equal(reply.columns["t"], np.eye(3))
        with pytest.raises(ValueError, match="read-only"):
            reply.tensors["c"][0] = 5
        # 64 + 24 + 36 bytes each way (and a number of 8 on the way back), 1 us each way, 500 ns of
        # work.
        assert bench.clock.now() == 124 + 132 + 2 * 1_000 + 500
        assert_idle(bench)

    Bench("a", "b", through_frames=through_frames).run(job)


def test_a_link_charges_what_the_content_says() -> None:
    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda m: Parcel(charged=3_000))
        await bench.port("a").call("b", Parcel(charged=5_000), deadline_ns=SECOND_NS)
        assert bench.clock.now() == 6_000 + 4_000

    Bench("a", "b").run(job)


@pytest.mark.parametrize("is_async", [False, True])
def test_errors_travel_with_class_and_facts(is_async: bool) -> None:
    async def job(bench: Bench) -> None:
        def refuse(message: Message[Parcel]) -> Parcel:
            raise QueueFull("no room", retry_after_s=3)

        async def refuse_later(message: Message[Parcel]) -> Parcel:
            await bench.clock.wait_until(bench.clock.now() + 1)
            raise ContextTooLong("too long", param="prompt")

        bench.port("b").on(Parcel, refuse_later if is_async else refuse)
        expected = ContextTooLong if is_async else QueueFull
        with pytest.raises(expected) as caught:
            await bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)
        facts = {"param": "prompt"} if is_async else {"retry_after_s": 3}
        assert type(caught.value) is expected and caught.value.facts == facts
        assert_idle(bench)

    Bench("a", "b").run(job)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_s_bug_is_told_to_the_caller_and_to_the_node(is_async: bool) -> None:
    """Nobody waits out a deadline for it, and it is not swallowed by the event loop."""
    bench = Bench("a", "b")

    async def job(bench: Bench) -> None:
        def bug(message: Message[Parcel]) -> Parcel:
            raise KeyError("lost")

        async def bug_later(message: Message[Parcel]) -> Parcel:
            return bug(message)

        bench.port("b").on(Parcel, bug_later if is_async else bug)
        with pytest.raises(PerfuseError, match="KeyError: 'lost'") as caught:
            await bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)
        assert caught.value.code == "internal_error" and bench.clock.now() < 10_000
        assert_idle(bench)

    bench.run(job, failures_expected=True)
    assert [type(error) for _, error in bench.failures] == [KeyError]


def test_unknown_kinds_and_workers_fail_at_once() -> None:
    async def job(bench: Bench) -> None:
        port = bench.port("a")
        with pytest.raises(PerfuseError, match="b does not understand 'parcel'"):
            await port.call("b", Parcel(), deadline_ns=SECOND_NS)
        with pytest.raises(PeerDead, match="no worker 'zeppelin'"):
            await port.call("zeppelin", Parcel(), deadline_ns=SECOND_NS)
        assert bench.clock.now() < 10_000
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_call_that_is_never_answered_ends_at_its_deadline() -> None:
    async def job(bench: Bench) -> None:
        asked: list[int] = []

        def later(message: Message[Parcel]) -> Handled:
            asked.append(message.message_id)
            return Handled.LATER

        bench.port("b").on(Parcel, later)
        with pytest.raises(DeadlineExceeded, match="parcel to b was not answered in time"):
            await bench.port("a").call("b", Parcel(), deadline_ns=640_000)
        assert bench.clock.now() == 640_000
        assert len(asked) == 1, "repetitions run nothing"
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_worker_may_answer_later_itself() -> None:
    async def job(bench: Bench) -> None:
        waiting = bench.node("b").mailbox(8)

        def keep(message: Message[Parcel]) -> Handled:
            waiting.put(message)
            return Handled.LATER

        bench.port("b").on(Parcel, keep)

        async def serve() -> None:
            message = await waiting.get()
            await bench.clock.wait_until(50_000)
            bench.port("b").reply(message, Parcel({"at": bench.clock.now()}))

        bench.node("b").spawn(serve(), "serve")
        reply = await bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS)
        assert reply.body == {"at": 50_000}
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_credits_bound_what_is_open_and_come_back() -> None:
    """The next call is not sent before one is answered."""

    async def job(bench: Bench) -> None:
        open_now, most = 0, 0

        async def slow(message: Message[Parcel]) -> Parcel:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await bench.clock.wait_until(bench.clock.now() + 100_000)
            open_now -= 1
            return Parcel()

        bench.port("b").on(Parcel, slow)
        port, node = bench.port("a"), bench.node("a")
        tasks = [
            node.spawn(port.call("b", Parcel(), deadline_ns=SECOND_NS), str(i))
            for i in range(2 * CREDITS_PER_PEER + 10)
        ]
        await bench.clock.wait_until(50_000)
        assert node.endpoint.outgoing.in_flight() == CREDITS_PER_PEER
        for task in tasks:
            await task
        assert most == CREDITS_PER_PEER
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_caller_that_goes_away_gives_back_its_credit_wherever_it_waits() -> None:
    """Cancelled while it waits for a credit, while the message travels, or for the answer."""

    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda m: Handled.LATER)
        port, node = bench.port("a"), bench.node("a")
        tasks = [
            node.spawn(port.call("b", Parcel(), deadline_ns=SECOND_NS), str(i))
            for i in range(CREDITS_PER_PEER + 20)
        ]
        tasks[0].cancel()  # has not run at all
        await bench.clock.wait_until(500)
        tasks[1].cancel()
        await bench.clock.wait_until(50_000)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_posted_call_may_be_abandoned_and_its_late_answer_hurts_nobody() -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench)
        pending = await bench.port("a").post("b", Parcel({"x": 1}), deadline_ns=SECOND_NS)
        assert bench.node("a").endpoint.outgoing.in_flight() == 1
        pending.abandon()
        pending.abandon()
        assert_idle(bench)
        await bench.clock.wait_until(100_000)
        assert asked == [1]
        assert await double(bench, 2) == 4
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_one_way_messages_come_once_and_want_no_answer() -> None:
    async def job(bench: Bench) -> None:
        got: list[int] = []
        bench.port("b").on(Parcel, lambda m: got.append(m.content.body["i"]))
        bench.node("a").endpoint.rules["twice"] = Each(lambda n, m: Duplicate(10))
        for i in range(4):
            await bench.port("a").send("b", Parcel({"i": i}))
        await bench.clock.wait_until(100_000)
        assert got == [0, 1, 2, 3]
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_messages_between_workers_of_one_node_cost_its_memory_and_no_link() -> None:
    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda m: Parcel(charged=500))
        rule = Each(lambda n, m: Drop())
        bench.node("a").endpoint.rules["drop"] = rule  # a link's rules are not about it
        sent = np.arange(5)
        await bench.port("a").call(
            "b", Parcel(tensors={"x": sent}, charged=2_000), deadline_ns=SECOND_NS
        )
        assert bench.clock.now() == 2_000 + 500
        assert bench.node("a").endpoint.egress.busy_ns(bench.clock.now()) == 0 and not rule.seen
        assert not sent.flags.writeable, "what is sent belongs to the message"
        assert_idle(bench)

    Bench(directory={"a": "host", "b": "host"}).run(job)

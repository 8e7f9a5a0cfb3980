"""What links and deaths do to calls: time is lost, never an answer twice, never a credit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import Each, assert_idle, double, echo
from tests.workers.wire.parcel import Parcel
from workers.errors import (
    DeadlineExceeded,
    PeerDead,
)
from workers.wire.calls import Handled
from workers.wire.message import Message
from workers.wire.peer import CREDITS_PER_PEER
from workers.wire.round_trips import PATIENCE_NS_MIN
from workers.wire.rules import Corrupt, Delay, Drop, Duplicate, Pass, Verdict


@pytest.mark.parametrize("lost", range(1, 6))
@pytest.mark.parametrize("way", ["a", "b"])
def test_what_is_dropped_is_repeated_and_the_handler_runs_once(lost: int, way: str) -> None:
    """Whether the question or the answer is lost, once or often; each wait is twice the last."""

    async def job(bench: Bench) -> None:
        asked = echo(bench)
        rule = Each(lambda n, m: Drop() if n <= lost else Pass())
        bench.node(way).endpoint.rules["drop"] = rule
        assert await double(bench, 21, within_ns=3_200_000) == 42
        assert asked == [21]
        assert bench.node(way).endpoint.num_dropped == lost
        waited_ns = 100_000 * (2**lost - 1)
        assert waited_ns < bench.clock.now() < waited_ns + 5_000
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_loss_costs_a_few_round_trips_once_they_are_known() -> None:
    """A lost dispatch must not stall a decode step for a share of its deadline."""

    async def job(bench: Bench) -> None:
        echo(bench)
        for x in range(4):
            assert await double(bench, x, within_ns=SECOND_NS) == 2 * x
        begun_ns = bench.clock.now()
        bench.node("a").endpoint.rules["drop"] = Each(lambda n, m: Drop() if n == 1 else Pass())
        assert await double(bench, 21, within_ns=SECOND_NS) == 42
        assert bench.clock.now() - begun_ns < 2 * PATIENCE_NS_MIN
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_link_that_drops_everything_fails_the_call_at_its_deadline() -> None:
    async def job(bench: Bench) -> None:
        rule = Each(lambda n, m: Drop())
        bench.node("a").endpoint.rules["drop"] = rule
        with pytest.raises(DeadlineExceeded):
            await double(bench, 1, within_ns=3_200_000)
        assert len(rule.seen) == 6 and bench.clock.now() == 3_200_000
        assert len({m.message_id for m in rule.seen}) == 1, "one identity, however often"
        assert_idle(bench)

    Bench("a", "b").run(job)


@pytest.mark.parametrize("delay_ns", [0, 300, 1_000_000])
def test_what_comes_twice_runs_once_and_its_answer_counts_once(delay_ns: int) -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench)
        for name in ("a", "b"):
            rule = Each(lambda n, m: Duplicate(delay_ns))
            bench.node(name).endpoint.rules["twice"] = rule
        answers = [await double(bench, x) for x in range(5)]
        await bench.clock.wait_until(SECOND_NS)
        assert answers == [0, 2, 4, 6, 8] and asked == list(range(5))
        assert_idle(bench)

    Bench("a", "b").run(job)


@pytest.mark.parametrize("through_frames", [False, True])
@pytest.mark.parametrize("way", ["a", "b"])
def test_a_flipped_bit_is_found_by_the_receiver_and_costs_one_repetition(
    through_frames: bool, way: str
) -> None:
    async def job(bench: Bench) -> None:
        def total(message: Message[Parcel]) -> Parcel:
            return Parcel(tensors={"sum": message.content.tensors["x"].sum(keepdims=True)})

        bench.port("b").on(Parcel, total)
        rule = Each(lambda n, m: Corrupt() if n == 1 else Pass())
        bench.node(way).endpoint.rules["corrupt"] = rule
        x = np.arange(10.0)
        reply = await bench.port("a").call("b", Parcel(tensors={"x": x}), deadline_ns=SECOND_NS)
        assert reply.tensors["sum"] == [45.0] and np.array_equal(x, np.arange(10.0))
        receiver = "b" if way == "a" else "a"
        assert bench.mails[receiver].num_corrupt == 1
        assert bench.mails[way].num_corrupt == 0 == bench.node(way).endpoint.num_dropped
        assert_idle(bench)

    Bench("a", "b", through_frames=through_frames).run(job)


def test_a_delay_reorders_and_nothing_is_confused() -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench)
        rule = Each(lambda n, m: Delay(50_000) if n == 1 else Pass())
        bench.node("a").endpoint.rules["late"] = rule
        tasks = [bench.node("a").spawn(double(bench, x), str(x)) for x in (1, 2)]
        assert [await task for task in tasks] == [2, 4]
        assert asked == [2, 1]
        assert_idle(bench)

    Bench("a", "b").run(job)


@settings(max_examples=25)
@given(st.lists(st.sampled_from("pddtlc"), min_size=1, max_size=60), st.booleans())
def test_whatever_the_link_does_each_call_is_answered_once_or_fails_and_all_comes_back(
    fates: list[str], through_frames: bool
) -> None:
    """p pass, d drop, t twice, l late, c corrupt: in any order, on both ways."""
    verdicts: dict[str, Verdict] = {
        "p": Pass(), "d": Drop(), "t": Duplicate(700), "l": Delay(90_000), "c": Corrupt(),
    }  # fmt: skip

    async def job(bench: Bench) -> None:
        asked = echo(bench)
        rule = Each(lambda n, m: verdicts[fates[n]] if n < len(fates) else Pass())
        for name in ("a", "b"):
            bench.node(name).endpoint.rules["chaos"] = rule
        tasks = [
            bench.node("a").spawn(double(bench, x, within_ns=3_200_000), str(x)) for x in range(6)
        ]
        ends: list[object] = []
        for task in tasks:
            try:
                ends.append(await task)
            except DeadlineExceeded:
                ends.append(None)
        assert all(end in (None, 2 * x) for x, end in enumerate(ends))
        assert len(asked) == len(set(asked)), "at most once"
        await bench.clock.wait_until(SECOND_NS)
        assert_idle(bench)

    Bench("a", "b", through_frames=through_frames).run(job)


@pytest.mark.parametrize("field", ["source_epoch", "destination_epoch"])
def test_messages_from_or_for_another_incarnation_are_dropped(field: str) -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench)
        receiver = bench.node("b").endpoint
        message = Message(
            Parcel({"x": 1}),
            "a",
            "b",
            message_id=7,
            source_epoch=1,
            destination_epoch=1,
            sent_ns=10,
            due_ns=20,
            charged_bytes=64,
        )
        setattr(message, field, 2)
        receiver.receive(message)
        await bench.clock.wait_until(100_000)
        assert asked == [] and receiver.num_dropped == 1
        setattr(message, field, 1)
        receiver.receive(message)
        await bench.clock.wait_until(200_000)
        assert asked == [1]

    Bench("a", "b").run(job)


def test_a_peer_s_death_fails_what_waits_for_it_and_nothing_else() -> None:
    async def job(bench: Bench) -> None:
        for name in ("b", "c"):
            bench.port(name).on(Parcel, lambda m: Handled.LATER)
        told: list[tuple[str, str]] = []
        node = bench.node("a")
        node.members.on_leave.append(lambda gone, reason: told.append((gone.node, reason)))
        tasks = [
            node.spawn(bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS), str(i))
            for i in range(CREDITS_PER_PEER + 5)
        ]
        other = node.spawn(bench.port("a").call("c", Parcel(), deadline_ns=300_000), "other")
        await bench.clock.wait_until(50_000)
        await bench.kill("b")
        for task in tasks:
            with pytest.raises(PeerDead) as caught:
                await task
            assert caught.value.facts == {"node": "b"}
        assert bench.clock.now() == 50_000, "nobody waits for a deadline"
        with pytest.raises(PeerDead, match="b on b is gone"):
            await bench.port("a").send("b", Parcel())
        with pytest.raises(DeadlineExceeded):
            await other
        assert [name for name, _ in told] == ["b"]
        assert_idle(bench_without(bench, "b"))

    Bench("a", "b", "c").run(job, failures_expected=True)


def bench_without(bench: Bench, name: str) -> Bench:
    bench.nodes = {key: node for key, node in bench.nodes.items() if key != name}
    return bench


def test_an_answer_for_a_dead_asker_is_dropped_quietly() -> None:
    async def job(bench: Bench) -> None:
        async def slow(message: Message[Parcel]) -> Parcel:
            await bench.clock.wait_until(100_000)
            return Parcel()

        bench.port("b").on(Parcel, slow)
        task = bench.node("a").spawn(
            bench.port("a").call("b", Parcel(), deadline_ns=SECOND_NS), "x"
        )
        await bench.clock.wait_until(50_000)
        await bench.kill("a")
        assert task.cancelled()
        await bench.clock.wait_until(200_000)
        assert bench.node("b").endpoint.incoming.num_unheard == 1

    Bench("a", "b").run(job)

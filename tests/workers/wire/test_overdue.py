"""Only what was lost is sent again: neither slowness nor a delay is a loss, whatever was expected.

The link has 1 byte/ns and 1 us on the way (`tests.workers.bench`); a parcel that asks for 100 bytes
takes 100 ns + 1 us, so an answered question 2.2 us.
"""

from collections.abc import Awaitable
from functools import partial

import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import Each, assert_idle
from tests.workers.wire.parcel import Parcel
from workers.wire.calls import Outcome
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

ROUND_TRIP_NS = 2_200
SMALL = Parcel(charged=100)
# What was learnt from quick answers lets nobody wait longer than 50 us.
SLOW_NS = 5_000_000


def watch(bench: Bench, **verdicts: Verdict) -> dict[str, Each]:
    """Rules that see what each node sends; a verdict is for the sixth message, after quick ones."""
    rules = {}
    for name in ("a", "b"):
        rules[name] = Each(partial(_for_the_sixth, verdicts.get(name, Pass())))
        bench.node(name).endpoint.rules["watch"] = rules[name]
    return rules


def _for_the_sixth(verdict: Verdict, number: int, message: Message) -> Verdict:
    return verdict if number == 6 else Pass()


async def ask(bench: Bench, content: Parcel = SMALL) -> int:
    """How long it took."""
    begun_ns = bench.clock.now()
    await bench.port("a").call("b", content, deadline_ns=begun_ns + SECOND_NS)
    return bench.clock.now() - begun_ns


async def learn(bench: Bench) -> None:
    """Five answers that came quickly."""
    assert [await ask(bench) for _ in range(5)] == [ROUND_TRIP_NS] * 5


def answer_late(bench: Bench) -> None:
    """Big questions are answered SLOW_NS later than small ones."""

    async def handler(message: Message[Parcel]) -> Outcome:
        if message.content.body:
            await bench.clock.wait_until(bench.clock.now() + SLOW_NS)
        return SMALL

    bench.port("b").on(Parcel, handler)


@pytest.mark.parametrize("through_frames", [False, True])
@pytest.mark.parametrize(
    ("content", "verdicts", "more_ns"),
    [
        (Parcel({"slow": 1}, charged=100), {}, SLOW_NS),
        # 5,000,000 bytes more at 1 byte/ns
        (Parcel(charged=5_000_100), {}, SLOW_NS),
        (SMALL, {"a": Delay(SLOW_NS)}, SLOW_NS),
        (SMALL, {"b": Delay(SLOW_NS)}, SLOW_NS),
        (SMALL, {"a": Delay(SLOW_NS), "b": Delay(SLOW_NS)}, 2 * SLOW_NS),
    ],
    ids=["work", "bytes", "question-delayed", "answer-delayed", "both-delayed"],
)
def test_what_is_slow_is_sent_once_and_takes_what_it_takes(
    content: Parcel, verdicts: dict[str, Verdict], more_ns: int, through_frames: bool
) -> None:
    async def job(bench: Bench) -> None:
        answer_late(bench)
        rules = watch(bench, **verdicts)
        await learn(bench)
        assert await ask(bench, content) == ROUND_TRIP_NS + more_ns
        assert [len(rules[name].seen) for name in ("a", "b")] == [6, 6], "sent again"
        assert_idle(bench)

    Bench("a", "b", through_frames=through_frames).run(job)


@pytest.mark.parametrize("through_frames", [False, True])
@pytest.mark.parametrize("loser", ["a", "b"])
def test_what_is_lost_is_sent_again_as_soon_as_an_answer_is_overdue(
    loser: str, through_frames: bool
) -> None:
    """50 us after the first sending, the least patience; then it takes a round trip."""

    async def job(bench: Bench) -> None:
        answer_late(bench)
        rules = watch(bench, **{loser: Drop()})
        await learn(bench)
        assert await ask(bench) == 50_000 + ROUND_TRIP_NS
        assert len(rules["a"].seen) == 7
        assert_idle(bench)

    Bench("a", "b", through_frames=through_frames).run(job)


def test_a_loss_shows_no_sooner_than_the_bytes_could_have_been_there_and_back() -> None:
    """1,000,000 bytes and twice 1 us, whatever small calls took; after that they go once more, and
    the answer takes 1.1 us.
    """

    async def job(bench: Bench) -> None:
        answer_late(bench)
        rules = watch(bench, a=Drop())
        await learn(bench)
        took_ns = await ask(bench, Parcel(charged=1_000_000))
        assert took_ns == 1_002_000 + (1_000_000 + 1_000) + 1_100
        assert len(rules["a"].seen) == 7

    Bench("a", "b").run(job)


def test_a_repetition_may_be_lost_and_delayed_as_well() -> None:
    """Lost at 0, overdue at 50 us; lost again, overdue after twice that, at 150 us; then 5 ms late:
    asked for at 350 us and later, and seen to be on its way.
    """

    async def job(bench: Bench) -> None:
        answer_late(bench)
        fates: dict[int, Verdict] = {6: Drop(), 7: Drop(), 8: Delay(SLOW_NS)}
        rule = Each(lambda n, m: fates.get(n, Pass()))
        bench.node("a").endpoint.rules["fates"] = rule
        await learn(bench)
        assert await ask(bench) == 150_000 + SLOW_NS + ROUND_TRIP_NS
        assert len(rule.seen) == 8
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_many_calls_that_wait_together_are_asked_for_by_their_own_clocks() -> None:
    """Of 100 that are posted every 100 ns, every third is lost: each is found missing 50 us after
    it was posted at the earliest, and all are answered soon after the last could be.
    """

    async def job(bench: Bench) -> None:
        answer_late(bench)
        await learn(bench)
        rule = Each(lambda n, m: Drop() if n % 3 == 1 and n <= 100 else Pass())
        bench.node("a").endpoint.rules["third"] = rule
        begun_ns, pendings = bench.clock.now(), []
        for i in range(100):
            await bench.clock.wait_until(begun_ns + 100 * i)
            deadline_ns = begun_ns + SECOND_NS
            pendings.append(await bench.port("a").post("b", SMALL, deadline_ns=deadline_ns))
        await bench.port("a").settled(pendings)
        for pending in pendings:
            pending.take()
        assert len(rule.seen) == 100 + 34
        assert 50_000 < bench.clock.now() - begun_ns < 3 * 50_000
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_node_that_stands_up_is_not_sent_again_what_waits_there() -> None:
    async def job(bench: Bench) -> None:
        rules = watch(bench)
        bench.node("b").endpoint.incoming.hold()
        call: Awaitable[int] = bench.node("a").spawn(ask(bench), "call")
        await bench.clock.wait_until(SLOW_NS)
        answer_late(bench)
        bench.node("b").endpoint.incoming.open()
        assert await call == SLOW_NS + 1_100, "the question was there, the answer takes its way"
        assert len(rules["a"].seen) == 1

    Bench("a", "b").run(job)

"""Answers are kept while somebody may ask again."""

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import Each, assert_idle, double, echo
from tests.workers.wire.parcel import Parcel
from workers.errors import DeadlineExceeded
from workers.wire.calls import Handled
from workers.wire.message import Message
from workers.wire.rules import Drop, Duplicate, Pass


def test_answers_are_kept_while_somebody_may_ask_again_and_no_longer() -> None:
    """A call tells that all before it are concluded: what is kept is what is open."""

    async def job(bench: Bench) -> None:
        bench.port("b").on(Parcel, lambda m: Parcel(tensors={"x": np.zeros(9, np.uint8)}))
        remembered = bench.node("b").endpoint.reach("a").remembered
        for number in range(50):
            deadline_ns = bench.clock.now() + 10**6
            await bench.port("a").call("b", Parcel({"number": number}), deadline_ns=deadline_ns)
            assert len(remembered) == 1
        deadline_ns = bench.clock.now() + 10**6
        several = [
            await bench.port("a").post("b", Parcel(), deadline_ns=deadline_ns) for _ in range(20)
        ]
        for pending in several:
            await pending.reply()
        assert len(remembered) == 20, "none was known to be concluded when the last one left"
        await bench.port("a").call("b", Parcel(), deadline_ns=deadline_ns)
        assert len(remembered) == 1
        assert_idle(bench)

    Bench("a", "b").run(job)


def test_a_call_that_comes_after_its_end_is_known_however_many_came_between() -> None:
    async def job(bench: Bench) -> None:
        asked = echo(bench)
        late = Each(lambda n, m: Duplicate(10_000_000) if n == 1 else Pass())
        bench.node("a").endpoint.rules["late"] = late
        for x in range(5_000):
            assert await double(bench, x) == 2 * x
        assert bench.clock.now() > 10_000_000
        await bench.clock.wait_until(bench.clock.now() + 20_000_000)
        assert asked == list(range(5_000)), "the first one did not run again"
        assert_idle(bench)

    Bench("a", "b").run(job)


@pytest.mark.parametrize("size", [1 << 20, 5 << 20, 32 << 20])
def test_an_answer_of_any_size_survives_its_loss(size: int) -> None:
    """The handler runs once; the answer that was lost is the one that comes."""

    async def job(bench: Bench) -> None:
        asked = large(bench, size)
        bench.node("b").endpoint.rules["drop"] = Each(lambda n, m: Drop() if n <= 2 else Pass())
        answer = await bench.port("a").call("b", Parcel({"x": 7}), deadline_ns=10 * SECOND_NS)
        assert answer.tensors["x"].nbytes == size and answer.tensors["x"][-1] == 7
        assert asked == [7]
        assert_idle(bench)

    Bench("a", "b").run(job)


@pytest.mark.parametrize("through_frames", [False, True])
def test_large_answers_are_let_go_when_they_are_taken(through_frames: bool) -> None:
    """No further call says so, and the oldest call of all is still open."""

    async def job(bench: Bench) -> None:
        large(bench, 1 << 20)
        bench.port("b2").on(Parcel, lambda m: Handled.LATER)
        remembered = bench.node("b").endpoint.reach("a").remembered
        deadline_ns = SECOND_NS
        stuck = await bench.port("a").post("b2", Parcel(), deadline_ns=deadline_ns)
        several = [
            await bench.port("a").post("b", Parcel({"x": x}), deadline_ns=deadline_ns)
            for x in range(20)
        ]
        await bench.port("a").settled(several)
        assert remembered.carried_bytes() == 20 << 20, "any of them might be asked for again"
        for pending in several:
            pending.take()
        assert remembered.carried_bytes() == 0
        stuck.abandon()
        assert_idle(bench)

    directory = {"a": "a", "b": "b", "b2": "b"}
    Bench("a", "b", directory=directory, through_frames=through_frames).run(job)


def test_an_answer_that_comes_after_its_call_was_given_up_is_not_kept() -> None:
    async def job(bench: Bench) -> None:
        async def late(message: Message[Parcel]) -> Parcel:
            await bench.clock.wait_until(2_000_000)
            return Parcel(tensors={"x": np.zeros(1 << 20, np.uint8)})

        bench.port("b").on(Parcel, late)
        with pytest.raises(DeadlineExceeded):
            await bench.port("a").call("b", Parcel(), deadline_ns=1_000_000)
        await bench.clock.wait_until(10_000_000)
        remembered = bench.node("b").endpoint.reach("a").remembered
        assert remembered.carried_bytes() == 0 and len(remembered) == 1, "it is known, for once"
        assert_idle(bench)

    Bench("a", "b").run(job)


def large(bench: Bench, size: int) -> list[int]:
    """b answers with so many bytes, all of them what it was asked; returns what that was."""
    asked: list[int] = []

    def answer(message: Message[Parcel]) -> Parcel:
        asked.append(message.content.body["x"])
        return Parcel(tensors={"x": np.full(size, asked[-1], np.uint8)})

    bench.port("b").on(Parcel, answer)
    return asked

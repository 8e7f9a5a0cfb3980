"""Answers are kept while somebody may ask again."""

import numpy as np

from tests.workers.bench import Bench
from tests.workers.wire.calls import Each, assert_idle, double, echo
from tests.workers.wire.parcel import Parcel
from workers.wire.rules import Duplicate, Pass


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

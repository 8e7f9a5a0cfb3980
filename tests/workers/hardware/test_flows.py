"""Fair sharing in a node's time: promises are revised, and kept to the nanosecond."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.bench import run_alone
from tests.workers.hardware.fluid import Wish, ends_of
from workers.hardware.flows import FairShare, Flows
from workers.hardware.sharing.hops import PathFlow
from workers.hardware.sharing.paths import Paths
from workers.host.clock.virtual import VirtualClock


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.integers(0, 900), st.none() | st.integers(1, 1_500)),
        max_size=12,
    )
)
def test_everyone_is_told_once_and_exactly_when_brute_force_says(
    plan: list[tuple[int, int, int | None]],
) -> None:
    """Joins and leaves at any times; `now` is the end when it is told, never before it."""
    wishes = [
        Wish(at, Fraction(amount), ("r",), leaves_ns=None if stay is None else at + stay)
        for at, amount, stay in sorted(plan, key=lambda entry: entry[0])
    ]

    async def job(clock: VirtualClock) -> list[tuple[int, int]]:
        share, told = FairShare(clock), list[tuple[int, int]]()

        async def live(number: int, wish: Wish) -> None:
            def ended(end_ns: int) -> None:
                assert clock.now() == end_ns
                told.append((number, end_ns))

            await clock.wait_until(wish.joins_ns)
            flow = share.serve(clock.now(), int(wish.amount), 1e9, ended)
            if wish.leaves_ns is not None:
                await clock.wait_until(wish.leaves_ns)
                share.leave(clock.now(), flow)

        tasks = [clock.start(live(i, wish), str(i)) for i, wish in enumerate(wishes)]
        for task in tasks:
            await task
        await clock.wait_until(10**6)
        return told

    told = run_alone(job)
    assert len(told) == len(dict(told))
    assert dict(told) == ends_of(wishes, {"r": Fraction(1)})[0]


def test_who_is_told_may_start_the_next_at_once() -> None:
    """A chain of ten flows of 100, beside one of 1000 that has half of it all the time."""

    async def job(clock: VirtualClock) -> list[int]:
        share, ends = FairShare(clock), list[int]()

        def next_one(end_ns: int) -> None:
            ends.append(end_ns)
            if len(ends) < 10:
                share.serve(end_ns, 100, 1e9, next_one)

        share.serve(0, 1_000, 1e9, lambda end_ns: ends.append(-end_ns))
        share.serve(0, 100, 1e9, next_one)
        await clock.wait_until(10_000)
        return ends

    assert run_alone(job) == [*range(200, 1_801, 200), -2_000, 2_000]


def test_a_late_host_tells_ends_as_they_were_due() -> None:
    """The timer of a live clock may come late. Whoever joins after an end hears nothing of it, and
    the one that had ended is told its own end, not the moment at which it was found out.
    """

    class Stopped(VirtualClock):
        """Its timers never come."""

        def jump(self) -> list:
            return []

    share, told = FairShare(Stopped()), list[tuple[str, int]]()
    share.serve(0, 100, 1e9, lambda end_ns: told.append(("first", end_ns)))
    share.serve(50, 100, 1e9, lambda end_ns: told.append(("second", end_ns)))
    assert told == []
    share.serve(900, 7, 1e9, lambda end_ns: told.append(("third", end_ns)))
    assert told == [("first", 150), ("second", 200)]


def test_flows_over_several_hops_in_a_node_s_time() -> None:
    """Two into one hop of 1 byte/ns; one of them comes over another hop that allows it 0.25."""

    async def job(clock: VirtualClock) -> list[tuple[str, int]]:
        flows = Flows(clock, Paths({"slow": 250_000_000, "port": 10**9}))
        ends = list[tuple[str, int]]()
        slow = PathFlow(lambda end_ns: ends.append(("slow", end_ns)), 500, ("slow", "port"))
        fast = PathFlow(lambda end_ns: ends.append(("fast", end_ns)), 900, ("port",))
        flows.start(0, slow)
        flows.start(0, fast)
        await clock.wait_until(10_000)
        return ends

    assert run_alone(job) == [("fast", 1_200), ("slow", 2_000)]


@pytest.mark.parametrize("limit_per_s", [1e9, 5e8, 1.0])
def test_a_limit_is_a_share_of_the_rate(limit_per_s: float) -> None:
    async def job(clock: VirtualClock) -> int:
        share, ends = FairShare(clock), list[int]()
        share.serve(0, 1_000, 1e9, ends.append, limit_per_s=limit_per_s)
        await clock.wait_until(10**13)
        return ends[0]

    assert run_alone(job) == int(1_000 * 1e9 / limit_per_s)

"""Both clocks: virtual time is exact and says where it hangs; live time chains from due times."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.bench import run_alone
from workers.errors import DeadlineExceeded
from workers.host.clock.base import Clock
from workers.host.clock.live import LiveClock
from workers.host.clock.virtual import VirtualClock


@given(st.lists(st.integers(0, 20), max_size=40))
def test_timers_fire_by_time_and_ties_in_the_order_they_were_set(due_ns: list[int]) -> None:
    """The one order that may not depend on a heap's whim: the trace hash rests on it."""
    fired: list[tuple[int, int, int]] = []

    async def job(clock: VirtualClock) -> None:
        for index, due in enumerate(due_ns):

            def fire(index: int = index, due: int = due) -> None:
                fired.append((clock.now(), due, index))

            clock.call_at(due, fire)
        await clock.wait_until(21)

    run_alone(job)
    assert [(now, i) for now, _, i in fired] == sorted((d, i) for i, d in enumerate(due_ns))
    assert all(now == due for now, due, _ in fired), "the clock moves before the callback runs"


def test_the_clock_jumps_over_what_is_empty() -> None:
    """A century costs nothing: nobody sleeps."""
    century_ns = 100 * 365 * 24 * 3600 * 10**9

    async def job(clock: VirtualClock) -> int:
        await clock.wait_until(century_ns)
        await clock.wait_until(5)  # past: returns at once
        return clock.now()

    begun = time.monotonic()
    assert run_alone(job) == century_ns
    assert time.monotonic() - begun < 5


def test_a_timer_in_the_past_fires_now_and_a_cancelled_one_never() -> None:
    fired: list[tuple[str, int]] = []

    async def job(clock: VirtualClock) -> None:
        await clock.wait_until(100)
        clock.call_at(7, lambda: fired.append(("past", clock.now())))
        clock.call_at(150, lambda: fired.append(("cancelled", clock.now()))).cancel()
        assert not fired, "still asynchronously"
        await clock.wait_until(200)

    run_alone(job)
    assert fired == [("past", 100)]


def test_all_that_is_ready_runs_before_time_moves() -> None:
    """A chain of tasks at one instant is done before the next instant begins."""
    seen: list[int] = []

    async def hop(clock: VirtualClock, left: int) -> None:
        seen.append(clock.now())
        if left:
            await clock.start(hop(clock, left - 1), "hop")

    async def job(clock: VirtualClock) -> None:
        clock.call_at(1, lambda: seen.append(-1))
        await clock.start(hop(clock, 20), "hop")
        await clock.wait_until(2)

    run_alone(job)
    assert seen == [0] * 21 + [-1]


def test_virtual_time_consumes_nothing_from_the_future() -> None:
    with pytest.raises(AssertionError, match="what is due at 1 ns"):
        VirtualClock().advance(1)


@pytest.mark.parametrize("work_ns", [50, 51])
def test_a_deadline_ends_what_is_late(work_ns: int) -> None:
    """In a tie the deadline wins, because it was set first."""

    async def job(clock: VirtualClock) -> int:
        async with clock.deadline(50):
            await clock.wait_until(work_ns)
        return clock.now()

    with pytest.raises(DeadlineExceeded, match="at 5e-08 s"):
        run_alone(job)


def test_a_deadline_that_is_met_leaves_no_trace() -> None:
    async def job(clock: VirtualClock) -> int:
        async with clock.deadline(50):
            await clock.wait_until(49)
        await clock.wait_until(1000)
        return clock.now()

    assert run_alone(job) == 1000


def test_a_cancel_from_outside_stays_a_cancel() -> None:
    """Also where the deadline passes in the same instant."""

    async def job(clock: VirtualClock) -> None:
        async def guarded() -> None:
            async with clock.deadline(50):
                await clock.wait_until(100)

        task = clock.start(guarded(), "guarded")
        await clock.wait_until(49)

        def cut() -> None:
            task.cancel()

        clock.call_at(50, cut)
        with pytest.raises(asyncio.CancelledError):
            await task

    run_alone(job)


def test_nested_deadlines_the_nearer_one_speaks() -> None:
    async def job(clock: VirtualClock) -> tuple[int, str]:
        try:
            async with clock.deadline(100), clock.deadline(30):
                await clock.wait_until(200)
        except DeadlineExceeded as error:
            return clock.now(), error.message
        raise AssertionError

    assert run_alone(job) == (30, "the deadline at 3e-08 s passed")


# -- live ------------------------------------------------------------------------------------------


def live(job: Callable[[LiveClock], Awaitable[None]], **settings: float) -> None:
    async def main() -> None:
        clock = LiveClock(time.monotonic_ns(), **settings)  # type: ignore[arg-type]
        try:
            await job(clock)
        finally:
            clock.close()

    asyncio.run(main())


def test_dilation_stretches_emulated_time() -> None:
    """20 us at dilation 1000 take 20 ms; never less, and on a loaded machine not absurdly more."""

    async def job(clock: LiveClock) -> None:
        begun = time.monotonic_ns()
        start_ns = clock.wall_now()
        await clock.wait_until(start_ns + 20_000)
        assert clock.now() == start_ns + 20_000
        assert 20_000_000 - 2_000 <= time.monotonic_ns() - begun < 2_000_000_000

    live(job, dilation=1000.0)


def test_the_chain_does_not_know_how_late_the_host_was() -> None:
    """10 steps of 1 us, each held up 100 us by the host: the chain has still moved by 10 us."""

    async def job(clock: LiveClock) -> None:
        clock.join_wall()
        begun_ns = clock.now()
        for step in range(1, 11):
            await clock.wait_until(clock.now() + 1_000)
            stalled_until = time.monotonic_ns() + 100_000
            while time.monotonic_ns() < stalled_until:
                pass
            assert clock.now() == begun_ns + step * 1_000
        assert clock.wall_now() - begun_ns >= 1_000_000

    live(job)


def test_each_task_has_its_own_time_and_inherits_its_maker_s() -> None:
    async def job(clock: LiveClock) -> None:
        seen: dict[str, int] = {}

        async def child(name: str, due_ns: int) -> None:
            seen[f"{name} begins"] = clock.now()
            await clock.wait_until(due_ns)
            seen[f"{name} ends"] = clock.now()

        clock.advance(100)
        one = clock.start(child("one", 5_000), "one")
        clock.advance(200)
        two = clock.start(child("two", 3_000), "two")
        await one
        await two
        assert clock.now() == 200
        assert seen == {"one begins": 100, "two begins": 200, "two ends": 3_000, "one ends": 5_000}

    live(job)


def test_a_callback_runs_at_its_own_time() -> None:
    async def job(clock: LiveClock) -> None:
        times: list[int] = []
        done = asyncio.get_running_loop().create_future()

        def last() -> None:
            times.append(clock.now())
            done.set_result(None)

        clock.call_at(7, lambda: times.append(clock.now()))  # long past: at once
        due_ns = clock.wall_now() + 3_000_000
        clock.call_at(due_ns, last)
        clock.call_at(due_ns, lambda: times.append(-1)).cancel()
        await done
        assert times == [7, due_ns]

    live(job)


def test_a_live_deadline_is_never_nearer_than_a_second_on_the_wall() -> None:
    """A stalled host must not look like a dead peer."""

    async def job(clock: LiveClock) -> None:
        floor_ns = clock.deadline_floor(0)
        assert 9_000 < floor_ns - clock.wall_now() <= 100_000
        assert clock.deadline_floor(10**12) == 10**12
        async with clock.deadline(clock.now()):  # would be over before it began
            await clock.wait_until(clock.wall_now() + 10)

    live(job, dilation=100_000.0)


def test_without_emulation_now_is_the_wall() -> None:
    async def job(clock: Clock) -> None:
        before = clock.now()
        clock.advance(before + 10**15)
        assert before <= clock.now() < before + 10**15

    live(job, emulated=False)


@pytest.mark.alone
def test_live_timers_are_finer_than_asyncio_s() -> None:
    """asyncio rounds to the millisecond; measured as the median of 50 timers, and judged against
    asyncio's own under the same load, so that a busy machine does not decide.
    """

    async def job(clock: LiveClock) -> None:
        ours: list[int] = []
        theirs: list[int] = []
        for step in range(50):
            odd_ns = 300_000 + 13_000 * step  # never a whole millisecond
            due_ns = clock.wall_now() + odd_ns
            await clock.wait_until(due_ns)
            ours.append(clock.wall_now() - due_ns)
            due_ns = clock.wall_now() + odd_ns
            await asyncio.sleep(odd_ns / 1e9)
            theirs.append(clock.wall_now() - due_ns)
        assert min(ours) >= 0, "never early"
        allowed_ns = max(1_000_000, statistics.median(theirs))
        assert statistics.median(ours) < allowed_ns, (ours, theirs)

    live(job)

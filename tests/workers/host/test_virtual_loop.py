"""The event loop of virtual time: what can never go on is told at once."""

import asyncio

import pytest

from tests.workers.bench import run_alone
from workers.host.clock.base import Clock
from workers.host.clock.virtual import VirtualClock, VirtualDeadlock


def test_a_deadlock_names_the_tasks_that_wait() -> None:
    async def job(clock: VirtualClock) -> None:
        never = asyncio.get_running_loop().create_future()

        async def stuck() -> None:
            await never

        await clock.start(stuck(), "node-7/waits for nobody")

    with pytest.raises(VirtualDeadlock, match=r"at 0 ns .*node-7/waits for nobody"):
        run_alone(job)


def test_asyncio_s_own_timers_are_refused_in_virtual_time() -> None:
    """They would wait for the wall clock, of which nothing here may know."""

    async def job(clock: Clock) -> None:
        with pytest.raises(RuntimeError, match="wait_until"):
            await asyncio.sleep(0.001)

    run_alone(job)


def test_timers_of_an_instant_run_in_the_order_of_their_setting() -> None:
    """What one of them sets for now comes after all of these; one that another cancels does not
    run; and an instant whose timers are all cancelled never comes: the clock passes it by.
    """

    async def job(clock: VirtualClock) -> list[tuple[str, int]]:
        ran: list[tuple[str, int]] = []

        def run(name: str) -> None:
            ran.append((name, clock.now()))

        def first() -> None:
            run("first")
            last.cancel()
            clock.call_at(100, run, "set at 100")

        clock.call_at(50, run, "cancelled").cancel()
        clock.call_at(200, run, "later")
        clock.call_at(100, first)
        clock.call_at(100, run, "second")
        last = clock.call_at(100, run, "last")
        await clock.wait_until(300)
        return ran

    assert run_alone(job) == [
        ("first", 100), ("second", 100), ("set at 100", 100), ("later", 200)
    ]  # fmt: skip


def test_the_clock_stands_where_only_cancelled_timers_are_left() -> None:
    async def job(clock: VirtualClock) -> None:
        clock.call_at(50, lambda: None).cancel()
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualDeadlock, match="at 0 ns"):
        run_alone(job)

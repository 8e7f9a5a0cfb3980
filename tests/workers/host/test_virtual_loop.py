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

"""A host that is late fires what is due in the order of due times, and starves nobody."""

import asyncio
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.host.test_clock import live
from workers.host.clock.live import MOST_A_TURN, LiveClock


def stall(ns: int) -> None:
    """Hold the whole event loop up."""
    until_ns = time.monotonic_ns() + ns
    while time.monotonic_ns() < until_ns:
        pass


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=30), st.integers(0, 30))
def test_what_is_past_when_asked_for_overtakes_nothing_due_before_it(
    due_ns: list[int], num_before: int
) -> None:
    """Some are asked for before the host is held up, the others after all of them are due."""

    async def job(clock: LiveClock) -> None:
        fired: list[tuple[int, int]] = []
        begun_ns = clock.wall_now()

        def ask(index: int) -> None:
            due = begun_ns + due_ns[index]
            clock.call_at(due, lambda: fired.append((clock.now() - begun_ns, index)))

        for index in range(len(due_ns)):
            if index == num_before:
                stall(500_000)
            ask(index)
        stall(500_000)
        await clock.wait_until(clock.wall_now() + 1_000_000)
        assert fired == sorted((due, index) for index, due in enumerate(due_ns))

    live(job)


def test_a_timer_that_asks_for_another_in_the_past_lets_sockets_have_their_turn() -> None:
    async def job(clock: LiveClock) -> None:
        num_fired = 0
        is_stopped = False

        def again() -> None:
            nonlocal num_fired
            num_fired += 1
            if not is_stopped:
                clock.call_at(1, again)

        again()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 1 < num_fired <= 2 * MOST_A_TURN + 1
        is_stopped = True

    live(job)


def test_a_timer_that_fails_takes_no_other_with_it() -> None:
    async def job(clock: LiveClock) -> None:
        failed: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failed.append(str(context["exception"]))
        )

        def fail(why: str) -> None:
            raise ValueError(why)

        for due_ns in (1, clock.wall_now() + 1_000_000):
            fired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            clock.call_at(due_ns, fail, f"at {due_ns}")
            clock.call_at(due_ns, fired.set_result, None)
            await asyncio.wait_for(fired, timeout=60)
            assert failed.pop() == f"at {due_ns}"

    live(job)

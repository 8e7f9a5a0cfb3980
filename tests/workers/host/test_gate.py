"""A node that stands still: nothing of it happens, and then all of it, in its order."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from workers.errors import DeadlineExceeded
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.host.gate import Gate, GatedClock


class Stand:
    """A clock, a gate that is closed from 10 to 30 ns, or for good, and what happened when."""

    def __init__(self, *, opens: bool) -> None:
        self.clock = VirtualClock()
        self.gate = Gate(self.clock)
        self.own = GatedClock(self.clock, self.gate)
        self.told: list[tuple[int, str]] = []
        self.clock.call_at(10, self.gate.close)
        if opens:
            self.clock.call_at(30, self.gate.open)

    def tell(self, what: str) -> None:
        self.told.append((self.clock.now(), what))


def run(job: Callable[[Stand], Awaitable[None]], *, opens: bool = True) -> list[tuple[int, str]]:
    stand = Stand(opens=opens)
    loop = virtual_loop(stand.clock)

    async def main() -> None:
        await job(stand)
        await stand.clock.wait_until(100)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return stand.told


def test_what_comes_due_meanwhile_is_done_in_its_order_when_it_goes_on() -> None:
    async def job(stand: Stand) -> None:
        for due_ns in (40, 25, 5, 15):
            stand.own.call_at(due_ns, stand.tell, f"due {due_ns}")

    assert run(job) == [(5, "due 5"), (30, "due 15"), (30, "due 25"), (40, "due 40")]


def test_a_timer_that_is_cancelled_while_it_is_held_is_not_done() -> None:
    async def job(stand: Stand) -> None:
        held = stand.own.call_at(15, stand.tell, "held")
        early = stand.own.call_at(12, stand.tell, "early")
        early.cancel()
        stand.clock.call_at(20, held.cancel)

    assert run(job) == []


def test_who_waits_goes_on_late_also_where_the_time_has_come_already() -> None:
    async def job(stand: Stand) -> None:
        async def wait(due_ns: int) -> None:
            await stand.own.wait_until(due_ns)
            stand.tell(f"waited for {due_ns}")

        tasks = [stand.own.start(wait(due_ns), "waits") for due_ns in (5, 20)]
        await stand.clock.wait_until(15)
        tasks.append(stand.own.start(wait(14), "waits for what is past"))
        await asyncio.gather(*tasks)

    assert sorted(run(job)) == [
        (5, "waited for 5"),
        (30, "waited for 14"),
        (30, "waited for 20"),
    ]


def test_a_deadline_that_passes_meanwhile_is_noticed_then() -> None:
    async def job(stand: Stand) -> None:
        with pytest.raises(DeadlineExceeded):
            async with stand.own.deadline(20):
                await stand.own.wait_until(50)
        stand.tell("given up")

    assert run(job) == [(30, "given up")]


def test_two_that_close_it_both_have_to_open_it() -> None:
    async def job(stand: Stand) -> None:
        stand.clock.call_at(20, stand.gate.close)
        stand.clock.call_at(45, stand.gate.open)
        stand.own.call_at(12, stand.tell, "both are gone")

    assert run(job) == [(45, "both are gone")]


def test_of_an_incarnation_that_is_gone_nothing_is_done_and_nobody_waits() -> None:
    async def job(stand: Stand) -> None:
        async def passes() -> None:
            await stand.gate.passed()
            stand.tell("passed")

        stand.own.call_at(12, stand.tell, "never")
        await stand.clock.wait_until(11)
        waiting = stand.clock.start(passes(), "passes")
        stand.clock.call_at(20, stand.gate.end)
        await waiting

    assert run(job, opens=False) == [(20, "passed")]


def test_one_that_fails_takes_no_other_with_it() -> None:
    told: list[str] = []

    async def job(stand: Stand) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))

        def fails() -> None:
            raise ValueError("it fails")

        stand.own.call_at(12, fails)
        stand.own.call_at(13, stand.tell, "the next")

    assert run(job) == [(30, "the next")]
    assert told == ["it fails"]

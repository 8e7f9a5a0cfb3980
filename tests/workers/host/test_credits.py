"""A credit is somebody's, or free: never lost between the two."""

import asyncio

import pytest

from tests.workers.bench import run_alone
from workers.errors import PeerDead
from workers.host.clock.virtual import VirtualClock
from workers.host.credits import Credits


def test_who_waits_goes_on_in_turn_when_the_credit_came_back() -> None:
    """One credit; a and b wait for it, and it comes back at 50 and at 80 ns."""

    async def job(clock: VirtualClock) -> None:
        credits = Credits(clock, 1)
        assert credits.take() and not credits.take()
        went: list[tuple[str, int]] = []

        async def wait(name: str) -> None:
            await credits.wait()
            went.append((name, clock.now()))

        tasks = [asyncio.ensure_future(wait(name)) for name in ("a", "b")]
        await clock.wait_until(50)
        credits.give()
        await tasks[0]
        await clock.wait_until(80)
        credits.give()
        await tasks[1]
        assert went == [("a", 50), ("b", 80)]
        assert credits.taken == 1
        credits.give()
        assert credits.taken == 0

    run_alone(job)


@pytest.mark.parametrize("is_given_first", [True, False])
def test_a_credit_given_to_somebody_who_is_cancelled_is_the_next_one_s(
    is_given_first: bool,
) -> None:
    """The cancellation comes in the turn of the loop in which the credit was given, before it was
    seen; or before that.
    """

    async def job(clock: VirtualClock) -> None:
        credits = Credits(clock, 1)
        await credits.wait()
        first, second = (asyncio.ensure_future(credits.wait()) for _ in range(2))
        await clock.wait_until(10)
        if is_given_first:
            credits.give()
            first.cancel()
        else:
            first.cancel()
            credits.give()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert credits.taken == 1, "the second one's"
        credits.give()
        assert credits.taken == 0

    run_alone(job)


def test_a_failure_is_told_to_all_who_wait_and_takes_nothing() -> None:
    async def job(clock: VirtualClock) -> None:
        credits = Credits(clock, 1)
        await credits.wait()
        waiting = [asyncio.ensure_future(credits.wait()) for _ in range(3)]
        await clock.wait_until(10)
        waiting[1].cancel()
        await clock.wait_until(20)
        credits.fail(PeerDead("gone"))
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in told] == [PeerDead, asyncio.CancelledError, PeerDead]
        credits.give()
        assert credits.taken == 0

    run_alone(job)

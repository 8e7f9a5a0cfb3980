"""What ranks send each other waits for whoever asks, in its own emulated time, and no longer than
its step.
"""

import pytest

from tests.workers.bench import run_alone
from workers.errors import DeadlineExceeded, PeerDead
from workers.host.clock.virtual import VirtualClock
from workers.parallel.inbox import Inbox
from workers.parallel.leader import EPOCH_BITS

PLACE = ("share", 1, 0)


def test_what_came_before_is_taken_at_once_and_what_comes_later_is_waited_for() -> None:
    async def job(clock: VirtualClock) -> None:
        inbox = Inbox(clock)
        inbox.put(3, PLACE, "early")
        inbox.begin(3)
        await clock.wait_until(10)
        assert await inbox.get(PLACE, 100) == "early" and clock.now() == 10
        clock.call_at(25, inbox.put, 3, PLACE, "late")
        assert await inbox.get(PLACE, 100) == "late" and clock.now() == 25
        assert not len(inbox)

    run_alone(job)


def test_nobody_waits_past_a_deadline_and_the_rank_is_named() -> None:
    async def job(clock: VirtualClock) -> None:
        inbox = Inbox(clock)
        inbox.begin(0)
        with pytest.raises(DeadlineExceeded, match="rank 2 of the chip sent no stage_rows"):
            await inbox.get(("stage_rows", 0, 2), 50)
        assert clock.now() == 50

    run_alone(job)


def test_a_step_that_failed_fails_all_that_is_waited_for_in_it_and_no_other_step() -> None:
    async def job(clock: VirtualClock) -> None:
        inbox = Inbox(clock)
        inbox.begin(1)
        inbox.fail(2, PeerDead("the second"))  # of one that has not begun here
        clock.call_at(7, inbox.fail, 1, PeerDead("the first"))
        with pytest.raises(PeerDead, match="the first"):
            await inbox.get(PLACE, 100)
        inbox.begin(2)
        inbox.put(2, PLACE, "came all the same")
        assert await inbox.get(PLACE, 100) == "came all the same"
        with pytest.raises(PeerDead, match="the second"):
            await inbox.get(PLACE, 100)
        inbox.begin(3)
        inbox.put(3, PLACE, "fine")
        assert await inbox.get(PLACE, 100) == "fine"

    run_alone(job)


def test_what_is_for_a_step_that_is_over_is_dropped() -> None:
    async def job(clock: VirtualClock) -> None:
        inbox = Inbox(clock)
        inbox.begin(5)
        inbox.put(5, PLACE, "unread")
        inbox.end(5)
        inbox.put(5, PLACE, "late")
        inbox.fail(5, PeerDead("late"))
        assert not len(inbox)
        inbox.put(6, PLACE, "next")
        inbox.begin(6)
        assert await inbox.get(PLACE, 100) == "next"

    run_alone(job)


def test_steps_under_way_are_those_told_however_far_apart_their_numbers_lie() -> None:
    """Each incarnation of a leader counts from another power of two on: a rank that counted up to
    there took all memory when a neighbour died before the first step.
    """

    async def job(clock: VirtualClock) -> None:
        inbox, later = Inbox(clock), 2 << EPOCH_BITS
        inbox.expect(1 << EPOCH_BITS)
        assert inbox.under_way() == [-1, 1 << EPOCH_BITS]
        inbox.begin(1 << EPOCH_BITS)
        inbox.expect(later)
        inbox.expect(later + 1)
        assert inbox.under_way() == [1 << EPOCH_BITS, later, later + 1]
        inbox.begin(later)
        assert inbox.under_way() == [later, later + 1]
        inbox.end(later)
        inbox.begin(later + 1)
        assert inbox.under_way() == [later + 1]

    run_alone(job)

"""A queue between tasks of one node: nothing is lost, and the reader's time follows its items."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.bench import run_alone
from workers.host.clock.live import LiveClock
from workers.host.clock.virtual import VirtualClock
from workers.host.longest import Longest
from workers.host.mailbox import Mailbox


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_a_reader_gets_all_in_order_and_batches_what_is_due_together(due_ns: list[int]) -> None:
    due_ns = sorted(due_ns)

    async def job(clock: VirtualClock) -> list[tuple[int, list[int]]]:
        box: Mailbox[int] = Mailbox(clock, 100)
        for index, due in enumerate(due_ns):
            clock.call_at(due, lambda i=index: box.put(i))
        batches: list[tuple[int, list[int]]] = []
        while sum(len(items) for _, items in batches) < len(due_ns):
            items = await box.get_due()
            batches.append((clock.now(), items))
        assert not len(box) and box.take_due() == []
        return batches

    batches = run_alone(job)
    assert [i for _, items in batches for i in items] == list(range(len(due_ns)))
    for now, items in batches:
        assert [due_ns[i] for i in items] == [now] * len(items)
    assert len(batches) == len(dict.fromkeys(due_ns)), "one batch an instant"


def test_a_full_mailbox_takes_what_cannot_wait_and_holds_back_what_can() -> None:
    """Three are put where two have room: none is refused. Whoever waits for room goes on when the
    second was taken, at 7, and the report knows of three.
    """

    async def job(clock: VirtualClock) -> None:
        longest = Longest()
        box: Mailbox[int] = Mailbox(clock, 2, longest)
        await box.room()
        for item in (1, 2, 3):
            box.put(item)
        waiter = clock.start(box.room(), "waiter")
        await clock.wait_until(5)
        assert await box.get() == 1 and len(box) == 2
        await clock.wait_until(7)
        assert not waiter.done()
        assert await box.get() == 2
        await waiter
        assert (clock.now(), len(box), longest.length) == (7, 1, 3)

    run_alone(job)


def test_one_without_a_capacity_is_never_full() -> None:
    async def job(clock: VirtualClock) -> None:
        box: Mailbox[int] = Mailbox(clock)
        for item in range(200_000):
            box.put(item)
        await box.room()
        assert box.take_due() == list(range(200_000))

    run_alone(job)


def test_a_cancelled_reader_loses_nothing_even_in_the_instant_of_the_put() -> None:
    async def job(clock: VirtualClock) -> None:
        box: Mailbox[str] = Mailbox(clock, 8)
        reader = clock.start(box.get(), "reader")
        await clock.wait_until(5)
        box.put("kept")
        reader.cancel()  # woken, but not yet run
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await box.get() == "kept"

    run_alone(job)


def test_two_readers_are_a_bug() -> None:
    async def job(clock: VirtualClock) -> None:
        box: Mailbox[int] = Mailbox(clock, 8)
        first = clock.start(box.get(), "first")
        await clock.wait_until(1)
        with pytest.raises(AssertionError, match="one reader"):
            await box.get()
        box.put(1)
        assert await first == 1

    run_alone(job)


def test_live_items_of_the_reader_s_future_wait_for_the_next_round() -> None:
    """A late host already holds what is due later: taking it now would let lateness into time."""

    async def main() -> None:
        clock = LiveClock(time.monotonic_ns())
        try:
            box: Mailbox[str] = Mailbox(clock, 8)

            async def put(due_ns: int, item: str) -> None:
                clock.advance(due_ns)
                box.put(item)

            for due_ns, item in ((100, "a"), (100, "b"), (250, "c")):
                await clock.start(put(due_ns, item), item)
            assert clock.now() == 0 and box.take_due() == []
            assert await box.get_due() == ["a", "b"]
            assert clock.now() == 100
            assert await box.get_due() == ["c"]
            assert clock.now() == 250
        finally:
            clock.close()

    asyncio.run(main())

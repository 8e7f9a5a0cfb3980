"""Work beside an event loop: the small waits for no large one, and what is given up never is."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from workers.host.aside import IN_LINE_MAX, SMALL_MAX, Aside, at_once


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside("test")
    yield made
    made.close()


def test_what_is_small_enough_is_done_in_line(aside: Aside) -> None:
    async def job() -> None:
        here = threading.get_ident()
        assert await aside.run(IN_LINE_MAX - 1, threading.get_ident) == here
        assert await aside.run(IN_LINE_MAX, threading.get_ident) != here

    asyncio.run(job())


def test_the_smallest_goes_first_and_the_small_wait_for_no_large_one(aside: Aside) -> None:
    """While a large job runs: another large one waits behind it, a smaller large one overtakes
    that, and a small one is done at once.
    """

    async def job() -> list[str]:
        order: list[str] = []
        begun, go_on = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            go_on.wait(10)

        running = asyncio.create_task(aside.run(SMALL_MAX, first))
        await asyncio.sleep(0)
        begun.wait(10)
        large = asyncio.create_task(aside.run(9 * SMALL_MAX, lambda: order.append("large")))
        await asyncio.sleep(0)
        middle = asyncio.create_task(aside.run(2 * SMALL_MAX, lambda: order.append("middle")))
        await asyncio.sleep(0)
        await aside.run(IN_LINE_MAX, lambda: order.append("small"))
        go_on.set()
        await asyncio.gather(running, large, middle)
        return order

    assert asyncio.run(job()) == ["small", "middle", "large"]


def test_what_is_cancelled_before_its_turn_never_begins(aside: Aside) -> None:
    async def job() -> list[str]:
        order: list[str] = []
        begun, go_on = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            go_on.wait(10)

        running = asyncio.create_task(aside.run(SMALL_MAX, first))
        await asyncio.sleep(0)
        begun.wait(10)
        given_up = asyncio.create_task(aside.run(SMALL_MAX, lambda: order.append("given up")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait((given_up,))
        go_on.set()
        await running
        await aside.run(SMALL_MAX, lambda: order.append("last"))
        return order

    assert asyncio.run(job()) == ["last"]


def test_an_error_reaches_whoever_asked(aside: Aside) -> None:
    async def job() -> None:
        with pytest.raises(ZeroDivisionError):
            await aside.run(SMALL_MAX, lambda: 1 // 0)
        assert await aside.run(SMALL_MAX, lambda: 7) == 7

    asyncio.run(job())


def test_at_once_returns_what_never_waits_and_refuses_what_does() -> None:
    async def answers() -> int:
        return 7

    assert at_once(answers()) == 7
    with pytest.raises(AssertionError, match="waits for an event loop"):
        at_once(asyncio.sleep(0))


def test_a_job_that_fails_lets_go_of_what_it_had_in_its_own_thread() -> None:
    freed_in: list[int] = []

    class Large:
        def __del__(self) -> None:
            freed_in.append(threading.get_ident())

    def read() -> None:
        large = Large()
        try:
            raise KeyError(id(large))
        except KeyError as error:
            raise ValueError("no such thing") from error

    async def main() -> None:
        aside = Aside("test")
        try:
            with pytest.raises(ValueError, match="no such thing"):
                await aside.run(IN_LINE_MAX, read)
        finally:
            aside.close()

    asyncio.run(main())
    assert freed_in
    assert threading.get_ident() not in freed_in

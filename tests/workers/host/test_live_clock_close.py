"""A node that ends and returns in one process has a clock after the other, in one event loop."""

import asyncio
import os
import time

import pytest

from workers.host.clock.live import LiveClock


def test_a_closed_clock_leaves_its_timer_to_the_next_one() -> None:
    """The system gives the next timer the number of the one that was closed."""

    async def job() -> None:
        first = LiveClock(time.monotonic_ns())
        fd = first._timer_fd._fd
        first.call_at(first.wall_now() + 10**9, pytest.fail, "it was closed")
        first.close()
        second = LiveClock(time.monotonic_ns())
        assert second._timer_fd._fd == fd
        await asyncio.wait_for(second.wait_until(1_000_000), timeout=10)
        assert second.wall_now() >= 1_000_000
        second.close()
        assert not asyncio.get_running_loop().remove_reader(fd), "nobody looks at it any more"
        with pytest.raises(OSError):
            os.fstat(fd)

    asyncio.run(job())

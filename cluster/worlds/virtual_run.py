"""A program in virtual time, from its beginning to its end."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from workers.host.clock.virtual import VirtualClock, VirtualDeadlock, virtual_loop

T = TypeVar("T")


def complete(clock: VirtualClock, main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns. One that hangs is cancelled, so that it takes down what it made: else
    that would be tried by whoever collects garbage, when its loop is no more.

    Raises what it raises, and VirtualDeadlock if nothing can ever happen again.
    """
    loop = virtual_loop(clock)
    task = loop.create_task(main)
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError, VirtualDeadlock):
                loop.run_until_complete(task)
        loop.close()

"""A program in virtual time, from its beginning to its end."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from workers.host.clock.virtual import VirtualClock, virtual_loop

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
    except BaseException:
        if not task.done():
            task.cancel()
            # What comes of taking it down hides no SystemExit: the task in which a signal came has
            # failed, too, and the program says so.
            with suppress(Exception, asyncio.CancelledError):
                loop.run_until_complete(task)
        raise
    finally:
        loop.close()

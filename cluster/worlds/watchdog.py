"""How long the callbacks of event loops hold them: for tests and benchmarks.

Counted is a callback's processor time, not how long it took: on a busy machine, or beside a thread
that holds Python's lock, that would be others' doing.
"""

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Any

# So many of the longest are kept.
KEPT = 16


class Watchdog:
    """Watches every event loop of this process, between `start` and `stop`."""

    def __init__(self) -> None:
        self._longest: list[tuple[int, str]] = []
        self._run: Callable[[Any], None] | None = None

    def start(self) -> None:
        """Begin, or begin anew."""
        self._longest.clear()
        if self._run is not None:
            return
        run = self._run = asyncio.Handle._run

        def watched(handle: Any) -> None:
            begun_ns = time.thread_time_ns()
            try:
                run(handle)
            finally:
                self._note(time.thread_time_ns() - begun_ns, handle)

        setattr(asyncio.Handle, "_run", watched)  # noqa: B010 - its type has no such method

    def stop(self) -> list[tuple[int, str]]:
        """(processor nanoseconds, what it was) of the longest callbacks, the longest first."""
        if self._run is not None:
            setattr(asyncio.Handle, "_run", self._run)  # noqa: B010
            self._run = None
        return sorted(self._longest, reverse=True)

    def _note(self, took_ns: int, handle: Any) -> None:
        if len(self._longest) == KEPT and took_ns <= self._longest[0][0]:
            return
        heapq.heappush(self._longest, (took_ns, _what(handle)))
        if len(self._longest) > KEPT:
            heapq.heappop(self._longest)


def _what(handle: Any) -> str:
    """A task by its name and its coroutine, any other callback by its own."""
    callback = handle._callback
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"{owner.get_name()} {getattr(owner.get_coro(), '__qualname__', '')}"
    return str(getattr(callback, "__qualname__", callback))

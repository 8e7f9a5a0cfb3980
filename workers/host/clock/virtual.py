"""Exact virtual time: one process, one event loop, no threads; the clock jumps to the next event.

The event loop is asyncio's own. Its selector, asked to block because nothing is ready, jumps the
clock instead and readies all timers of the next instant, in the order in which they were set.
Nothing here reads the wall clock and nothing depends on hashing, so the same inputs give the same
order of events, always.
"""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from workers.host.clock.base import Deadline, wake


class VirtualDeadlock(RuntimeError):
    """Tasks wait, but no timer is set: nothing will ever happen again."""


class _VirtualTimer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """Clock of every node of a virtual world."""

    emulated = True

    def __init__(self) -> None:
        self._now_ns = 0
        self._sequence = 0
        self._heap: list[tuple[int, int, _VirtualTimer]] = []

    def now(self) -> int:
        return self._now_ns

    def wall_now(self) -> int:
        return self._now_ns

    def advance(self, due_ns: int) -> None:
        assert due_ns <= self._now_ns, f"consumed at {self._now_ns} ns what is due at {due_ns} ns"

    def join_wall(self) -> None:
        """Nothing enters a virtual world from outside."""

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> _VirtualTimer:
        timer = _VirtualTimer(callback)
        self._sequence += 1
        heapq.heappush(self._heap, (max(due_ns, self._now_ns), self._sequence, timer))
        return timer

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        return asyncio.get_running_loop().create_task(coroutine, name=name)

    async def wait_until(self, due_ns: int) -> None:
        if due_ns <= self._now_ns:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_at(due_ns, lambda: wake(waiter))
        try:
            await waiter
        finally:
            timer.cancel()

    def deadline_floor(self, due_ns: int) -> int:
        return due_ns

    def deadline(self, due_ns: int) -> Deadline:
        return Deadline(self, due_ns)

    def jump(self) -> list[Callable[[], None]]:
        """Move to the next instant that has a live timer; returns its callbacks in the order
        they were set.
        """
        due: list[Callable[[], None]] = []
        while self._heap and not due:
            self._now_ns, due = self._heap[0][0], []
            while self._heap and self._heap[0][0] == self._now_ns:
                callback = heapq.heappop(self._heap)[2].callback
                if callback is not None:
                    due.append(callback)
        return due


class _JumpingSelector(selectors.BaseSelector):
    """Stands where epoll would: instead of sleeping it jumps the clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self.loop: asyncio.AbstractEventLoop | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        if timeout == 0:  # asyncio still has callbacks that are ready
            return []
        callbacks = self._clock.jump()
        if not callbacks:
            names = sorted(task.get_name() for task in asyncio.all_tasks(self.loop))
            raise VirtualDeadlock(
                f"at {self._clock.now()} ns {len(names)} tasks wait and no timer is set: "
                f"{', '.join(names)}"
            )
        for callback in callbacks:
            self.loop.call_soon(callback)
        return []

    def close(self) -> None:
        self._keys.clear()


def virtual_loop(clock: VirtualClock) -> asyncio.SelectorEventLoop:
    """A new event loop that lives in the clock's time. The caller closes it."""
    selector = _JumpingSelector(clock)
    loop = asyncio.SelectorEventLoop(selector)
    selector.loop = loop
    return loop

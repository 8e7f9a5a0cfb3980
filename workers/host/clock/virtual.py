"""Exact virtual time: one process, one event loop, no threads; the clock jumps to the next event.

The event loop is asyncio's own. Its selector, asked to block because nothing is ready, jumps the
clock instead and readies all timers of the next instant, in the order in which they were set.
Nothing here reads the wall clock and nothing depends on hashing, so the same inputs give the same
order of events, always.
"""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sized
from typing import Any

from workers.host.clock.base import Deadline, wake

OnError = Callable[[Callable[..., None], Exception], None]


class VirtualDeadlock(RuntimeError):
    """Tasks wait, but no timer is set: nothing will ever happen again."""


class _Entry(list[Any]):
    """A timer: [when, number of its setting, callback or None, arguments]. A list, so that the heap
    compares entries natively; two are never equal up to the number.
    """

    __slots__ = ()

    def cancel(self) -> None:
        self[2] = None


class VirtualClock:
    """Clock of every node of a virtual world."""

    emulated = True

    def __init__(self) -> None:
        self._now_ns = 0
        self._sequence = 0
        self._heap: list[_Entry] = []

    def now(self) -> int:
        return self._now_ns

    def wall_now(self) -> int:
        return self._now_ns

    def advance(self, due_ns: int) -> None:
        assert due_ns <= self._now_ns, f"consumed at {self._now_ns} ns what is due at {due_ns} ns"

    def join_wall(self) -> None:
        """Nothing enters a virtual world from outside."""

    def call_at(self, due_ns: int, callback: Callable[..., None], *arguments: Any) -> _Entry:
        if due_ns < self._now_ns:
            due_ns = self._now_ns
        self._sequence += 1
        entry = _Entry((due_ns, self._sequence, callback, arguments))
        heapq.heappush(self._heap, entry)
        return entry

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        return asyncio.get_running_loop().create_task(coroutine, name=name)

    async def wait_until(self, due_ns: int) -> None:
        if due_ns <= self._now_ns:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_at(due_ns, wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    def deadline_floor(self, due_ns: int) -> int:
        return due_ns

    def deadline(self, due_ns: int) -> Deadline:
        return Deadline(self, due_ns)

    def go_on(self, ready: Sized, failed: OnError) -> bool:
        """Run timers, instant after instant, in the order in which they were set, until something
        is `ready`. Timers that an instant's own timers set for now come in the next round. False if
        no timer is left.
        """
        heap, pop = self._heap, heapq.heappop
        while heap:
            entry = pop(heap)
            if entry[2] is None:
                continue
            self._now_ns = now_ns = entry[0]
            due = [entry]
            while heap and heap[0][0] == now_ns:
                due.append(pop(heap))
            for _, _, callback, arguments in due:
                if callback is not None:  # else cancelled, perhaps by one before it
                    try:
                        callback(*arguments)
                    except Exception as error:
                        failed(callback, error)
            if ready:
                return True
        return False


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
        # A turn of the loop costs more than most callbacks: instants that wake no task are passed
        # without one.
        if not self._clock.go_on(self.loop._ready, self._failed):  # type: ignore[attr-defined]
            names = sorted(task.get_name() for task in asyncio.all_tasks(self.loop))
            raise VirtualDeadlock(
                f"at {self._clock.now()} ns {len(names)} tasks wait and no timer is set: "
                f"{', '.join(names)}"
            )
        return []

    def _failed(self, callback: Callable[..., None], error: Exception) -> None:
        assert self.loop is not None
        what = f"a timer's callback {callback!r} failed"
        self.loop.call_exception_handler({"message": what, "exception": error})

    def close(self) -> None:
        self._keys.clear()


def virtual_loop(clock: VirtualClock) -> asyncio.SelectorEventLoop:
    """A new event loop that lives in the clock's time. The caller closes it."""
    selector = _JumpingSelector(clock)
    loop = asyncio.SelectorEventLoop(selector)
    selector.loop = loop
    return loop

"""Exact virtual time: one process, one event loop, no threads; the clock jumps to the next event.

The event loop is asyncio's own but for one thing: where nothing is ready, it jumps the clock and
runs all timers of the next instant, in the order in which they were set.
Nothing here reads the wall clock and nothing depends on hashing, so the same inputs give the same
order of events, always.
"""

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sized
from typing import Any, NoReturn, Protocol

from workers.host.clock.base import Deadline, wake

OnError = Callable[[Callable[..., None], Exception], None]


class Ahead(Protocol):
    """What happens in this time without a timer: the clock asks before it jumps."""

    def go_on(self, until_ns: int | None) -> int | None:
        """Go on until something has to be told of, and return when that is; None where there is
        nothing by then, or (of None) at all.
        """
        ...

    def tell(self) -> None:
        """The clock is there."""
        ...


class VirtualDeadlock(RuntimeError):
    """Tasks wait, but no timer is set: nothing will ever happen again."""


class _Entry(list[Any]):
    """A timer: [callback or None, arguments]. A list is made faster than other objects are."""

    __slots__ = ()

    def cancel(self) -> None:
        self[0] = None


class VirtualClock:
    """Clock of every node of a virtual world.

    Timers lie by their instant, in the order in which they were set, and instants in a heap: many
    nodes do the same at the same time, and numbers compare faster than timers would.
    """

    emulated = True

    def __init__(self) -> None:
        self._now_ns = 0
        self._instants: dict[int, list[_Entry]] = {}
        self._heap: list[int] = []  # of their times
        self.ahead: Ahead | None = None

    @property
    def of_devices(self) -> "VirtualClock":
        return self

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
        entry = _Entry((callback, arguments))
        instant = self._instants.get(due_ns)
        if instant is None:
            self._instants[due_ns] = [entry]
            heapq.heappush(self._heap, due_ns)
        else:
            instant.append(entry)
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
        heap, instants, pop = self._heap, self._instants, heapq.heappop
        while True:
            if self.ahead is not None:
                told_ns = self.ahead.go_on(heap[0] if heap else None)
                if told_ns is not None:
                    self._now_ns = told_ns
                    self.ahead.tell()
                    if ready:
                        return True
                    continue
            if not heap:
                return False
            now_ns = pop(heap)
            for callback, arguments in instants.pop(now_ns):
                if callback is not None:  # else cancelled, perhaps by one before it
                    self._now_ns = now_ns
                    try:
                        callback(*arguments)
                    except Exception as error:
                        failed(callback, error)
            if ready:
                return True


class _VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop but for the turn: where that would sleep until a file or a timer is ready,
    this one jumps the clock. Its own timers are out of place: they would wait for the wall clock.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_NoFiles())
        self._clock = clock

    def _run_once(self) -> None:
        """One turn: whatever is ready now. asyncio's turn costs more than most callbacks do, for
        files and timers that are not here; and instants that wake no task pass without a turn.
        """
        ready = self._ready  # type: ignore[attr-defined]
        if not ready and not self._clock.go_on(ready, self._failed):
            names = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise VirtualDeadlock(
                f"at {self._clock.now()} ns {len(names)} tasks wait and no timer is set: "
                f"{', '.join(names)}"
            )
        for _ in range(len(ready)):  # what these add is for the next turn
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def call_at(self, when: float, *args: Any, **keys: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError(
            "a timer of asyncio would wait for the wall clock: in virtual time ask the clock's "
            "call_at or wait_until"
        )

    def _failed(self, callback: Callable[..., None], error: Exception) -> None:
        what = f"a timer's callback {callback!r} failed"
        self.call_exception_handler({"message": what, "exception": error})


class _NoFiles(selectors.BaseSelector):
    """Knows the loop's own pipe, and never looks."""

    def __init__(self) -> None:
        self._keys: dict[Any, selectors.SelectorKey] = {}

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
        return []

    def close(self) -> None:
        self._keys.clear()


def virtual_loop(clock: VirtualClock) -> asyncio.AbstractEventLoop:
    """A new event loop that lives in the clock's time. The caller closes it."""
    return _VirtualLoop(clock)

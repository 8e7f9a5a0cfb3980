"""Emulated time on the wall: each emulated nanosecond takes `dilation` real ones.

asyncio rounds timers up to a millisecond; a timerfd does not. One timerfd serves all timers of the
process. Each task's emulated time is kept in a context variable, which asyncio carries along with
the task.

The wall is this machine's own clock, or another's as ours tells it: then a line is followed, which
may be turned, but has no jumps (`steer`).
"""

import asyncio
import ctypes
import heapq
import os
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

from workers.host.clock.base import Deadline, wake
from workers.host.clock.line import Line, turned
from workers.host.clock.source import ClockSource

# linux/timerfd.h; Python has os.timerfd_create only from 3.13 on.
_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000

# Failure detection must survive a stalled host: a deadline is never nearer than this on the wall
# (DESIGN.md).
DEADLINE_FLOOR_WALL_NS = 1_000_000_000
# Timers that a late host fires before sockets have their turn again.
MOST_A_TURN = 64


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _TimerFd:
    """A one-shot timer with nanosecond resolution that wakes the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._loop, self._callback = loop, callback
        loop.add_reader(self._fd, self._ready)

    def set(self, monotonic_ns: int) -> None:
        spec = _TimerSpec()
        # A zero value would disarm the timer, so a moment long past becomes the first nanosecond.
        spec.value.seconds, spec.value.nanoseconds = divmod(max(monotonic_ns, 1), 1_000_000_000)
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def _ready(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # the timer was moved between the wake-up and this read
            return
        self._callback()

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


class _LiveTimer:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class LiveClock:
    """Clock of a node in a live world; made inside the node's running event loop.

    origin_ns   the machine's clock at emulated time 0, the same for all nodes of a machine
    dilation    real nanoseconds per emulated one, at least 1
    emulated    False: `now()` is the wall, and nothing is ever held back
    """

    def __init__(self, origin_ns: int, dilation: float = 1.0, *, emulated: bool = True) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = ClockSource.of_environment()
        self._read = self._source.read
        self._origin_ns, self._dilation, self.emulated = origin_ns, dilation, emulated
        self._pace = dilation  # of this machine's nanoseconds, which may not be the cluster's
        self._followed: Line | None = None
        self._chain: ContextVar[int] = ContextVar("emulated_ns", default=0)
        self._heap: list[tuple[int, int, _LiveTimer]] = []
        self._sequence = 0
        self._armed_ns: int | None = None
        self._is_soon = False
        self._timer_fd = _TimerFd(self._loop, self._expire)

    @property
    def of_devices(self) -> "LiveClock":
        return self

    def now(self) -> int:
        return self._chain.get() if self.emulated else self.wall_now()

    def wall_now(self) -> int:
        return int((self._read() - self._origin_ns) / self._pace)

    def steer(self, target: Line, origin_ns: int) -> None:
        """From now on the wall is another machine's clock, which `target` tells from ours and which
        showed `origin_ns` at emulated time 0.
        """
        own_ns = self._read()
        line = self._followed = turned(self._followed, target, own_ns)
        self._pace = self._dilation / (1 + line.rate)
        self._origin_ns = own_ns - round((line.other_ns(own_ns) - origin_ns) / (1 + line.rate))
        self._armed_ns = None
        self._arm()

    def advance(self, due_ns: int) -> None:
        if due_ns > self._chain.get():
            self._chain.set(due_ns)

    def join_wall(self) -> None:
        """Start a new chain: what enters from the outside world (an HTTP request) is due now, by
        the wall.
        """
        self.advance(self.wall_now())

    def call_at(self, due_ns: int, callback: Callable[..., None], *arguments: Any) -> _LiveTimer:
        context = copy_context()
        context.run(self._chain.set, due_ns)
        timer = _LiveTimer(lambda: context.run(callback, *arguments))
        self._sequence += 1
        heapq.heappush(self._heap, (due_ns, self._sequence, timer))
        self._arm()
        return timer

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        return self._loop.create_task(coroutine, name=name)

    async def wait_until(self, due_ns: int) -> None:
        if due_ns > self.wall_now():
            waiter: asyncio.Future[None] = self._loop.create_future()
            timer = self.call_at(due_ns, wake, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
        self.advance(due_ns)

    def deadline_floor(self, due_ns: int) -> int:
        return max(due_ns, self.wall_now() + int(DEADLINE_FLOOR_WALL_NS / self._dilation))

    def deadline(self, due_ns: int) -> Deadline:
        return Deadline(self, self.deadline_floor(due_ns))

    def close(self) -> None:
        self._timer_fd.close()
        self._heap.clear()

    def _expire(self) -> None:
        """Fire what is due, in the order of due times however late the host is: what was due
        already when it was asked for may not overtake what waits and was due before it.
        """
        self._armed_ns = None
        try:
            for _ in range(MOST_A_TURN):
                if not self._heap or not self._is_over(self._heap[0]):
                    break
                callback = heapq.heappop(self._heap)[2].callback
                if callback is not None:
                    callback()
        finally:  # one that fails takes no other with it
            self._arm()

    def _is_over(self, entry: tuple[int, int, _LiveTimer]) -> bool:
        return entry[2].callback is None or entry[0] <= self.wall_now()

    def _arm(self) -> None:
        if not self._heap:
            return
        if self._is_over(self._heap[0]):
            if not self._is_soon:
                self._is_soon = True
                self._loop.call_soon(self._expire_soon)
        elif self._armed_ns is None or self._heap[0][0] < self._armed_ns:
            self._armed_ns = self._heap[0][0]
            own_ns = self._origin_ns + int(self._armed_ns * self._pace)
            self._timer_fd.set(self._source.system_ns(own_ns))

    def _expire_soon(self) -> None:
        self._is_soon = False
        self._expire()

"""The clock of a node.

Time chains. Every task carries the emulated time at which the event that drives it was due; `now()`
is that time, not the moment at which Python got round to running it. Receiving a message, taking
from a mailbox and finishing a `run` advance the task to the due time of what it received. So
lateness of the host never adds up: it is counted as an overrun, and the next deadline still follows
from the chain. In the virtual world both are the same instant.

    message due 100 ──▶ handler: now() == 100 ──▶ run(5 us): due 105 ──▶ now() == 105 ──▶ send:
    leaves at 105 (on the wall the handler may have started at 100.3; nobody downstream will ever
    know)
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol

from workers.errors import DeadlineExceeded


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Emulated time in integer nanoseconds since the cluster started."""

    emulated: bool  # False: nothing costs emulated time, `now()` is the wall

    @property
    def of_devices(self) -> "Clock":
        """What links and devices go by: they go on where a node's programs stand still."""
        ...

    def now(self) -> int:
        """The running task's emulated time."""
        ...

    def wall_now(self) -> int:
        """Emulated time by the wall clock (wall time over dilation): for judging, never for
        pacing.
        """
        ...

    def advance(self, due_ns: int) -> None:
        """The running task has consumed what was due then: its time becomes that, if later."""
        ...

    def join_wall(self) -> None:
        """Start a new chain: what enters from the outside world (an HTTP request) is due now, by
        the wall.
        """
        ...

    def call_at(self, due_ns: int, callback: Callable[..., None], *arguments: Any) -> Timer:
        """Run `callback(*arguments)` when `due_ns` comes, with that as its time; at once (still
        asynchronously) if it is past.
        """
        ...

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Start a task whose time begins at the caller's. Only a Node calls this (`Node.spawn`)."""
        ...

    async def wait_until(self, due_ns: int) -> None: ...

    def deadline_floor(self, due_ns: int) -> int:
        """`due_ns`, or later where that would be too near on the wall to mean anything but a
        slow host.
        """
        ...

    def deadline(self, due_ns: int) -> AbstractAsyncContextManager[None]:
        """Raise DeadlineExceeded inside the block when `due_ns` passes first."""
        ...


def wake(waiter: "asyncio.Future[None]") -> None:
    """Let whoever awaits it go on; once is enough."""
    if not waiter.done():
        waiter.set_result(None)


class Deadline:
    """`async with`: cancels the task at a time and turns that one cancellation into
    DeadlineExceeded.
    """

    __slots__ = ("_clock", "_due_ns", "_fired", "_task", "_timer")

    def __init__(self, clock: Clock, due_ns: int) -> None:
        self._clock, self._due_ns, self._fired = clock, due_ns, False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a deadline needs a running task"
        self._task = task
        self._timer = self._clock.call_at(self._due_ns, self._fire)

    def _fire(self) -> None:
        self._fired = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._fired and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            self._clock.advance(self._due_ns)
            at_s = self._due_ns / 1e9
            raise DeadlineExceeded(f"the deadline at {at_s:g} s passed") from error

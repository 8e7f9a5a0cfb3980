"""Where a node's programs stand still, as under SIGSTOP, and go on where they stood.

What the node's own code would do is held while the gate is closed, and done when it opens, in the
order in which it came due. Links and devices know no gate: what they have begun they end, and what
they bring waits.

    timers, waits     GatedClock   held
    messages that arrive           held: their last step is a timer of the node (`wire.ingress`)
    notes, deaths     GatedMail    held
    resources, lanes  `Clock.of_devices`   go on
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from workers.host.clock.base import Clock, Deadline, Timer, wake


class Gate:
    """Of one incarnation of a node; open at first. Who closes it opens it again, each for himself.

    clock   that goes on
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._num_closed = clock, 0
        self._held: deque[Callable[[], None]] = deque()
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_open(self) -> bool:
        return not self._num_closed

    def close(self) -> None:
        self._num_closed += 1

    def open(self) -> None:
        """The last one who does lets go of all that was held."""
        assert self._num_closed, "an open gate cannot be opened"
        self._num_closed -= 1
        self._let_go()

    def end(self) -> None:
        """The incarnation is gone: nothing of it is ever done, and nobody waits for it."""
        self._num_closed = 0
        self._held.clear()
        self._wake()

    def hold(self, what: Callable[[], None]) -> None:
        """Do it when the gate opens. It is closed."""
        self._held.append(what)

    async def passed(self) -> None:
        """Until it is open."""
        while not self.is_open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _let_go(self) -> None:
        try:
            while self.is_open and self._held:
                self._held.popleft()()
        finally:  # one that fails takes no other with it
            if self.is_open and self._held:
                self._clock.call_at(self._clock.now(), self._let_go)
        if self.is_open:
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            wake(waiter)


class _Timer:
    """One that may have to wait for the gate when it is due."""

    __slots__ = ("arguments", "callback", "due")

    def __init__(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callback: Callable[..., None] | None = callback
        self.arguments = arguments
        self.due: Timer | None = None

    def cancel(self) -> None:
        self.callback = None
        if self.due is not None:
            self.due.cancel()

    def run(self) -> None:
        if self.callback is not None:
            self.callback(*self.arguments)


class GatedClock:
    """What a node that can be stopped has for a clock: nothing comes due while its gate is closed.
    Time goes on: what was due meanwhile is late.
    """

    def __init__(self, clock: Clock, gate: Gate) -> None:
        self._clock, self._gate, self.emulated = clock, gate, clock.emulated
        self.now, self.wall_now = clock.now, clock.wall_now
        self.advance, self.join_wall = clock.advance, clock.join_wall
        self.deadline_floor = clock.deadline_floor

    @property
    def of_devices(self) -> Clock:
        return self._clock

    def call_at(self, due_ns: int, callback: Callable[..., None], *arguments: Any) -> _Timer:
        timer = _Timer(callback, arguments)
        timer.due = self._clock.call_at(due_ns, self._is_due, timer)
        return timer

    def _is_due(self, timer: _Timer) -> None:
        if self._gate.is_open:
            timer.run()
        else:
            self._gate.hold(timer.run)

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """What somebody outside begins on the node, begins when it goes on."""
        begun = coroutine if self._gate.is_open else self._late(coroutine)
        return self._clock.start(begun, name)

    async def _late(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            await self._gate.passed()
        except asyncio.CancelledError:
            coroutine.close()
            raise
        return await coroutine

    async def wait_until(self, due_ns: int) -> None:
        await self._clock.wait_until(due_ns)
        await self._gate.passed()

    def deadline(self, due_ns: int) -> AbstractAsyncContextManager[None]:
        return Deadline(self, self.deadline_floor(due_ns))

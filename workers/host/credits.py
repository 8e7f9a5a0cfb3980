"""A bounded number of things at once, for tasks of one node that keep emulated time."""

import asyncio
from collections import deque

from workers.errors import PerfuseError
from workers.host.clock.base import Clock


class Credits:
    """Who finds none waits in order, and goes on at the emulated time at which its credit came
    back.
    """

    __slots__ = ("_clock", "_free", "_total", "_waiting")

    def __init__(self, clock: Clock, total: int) -> None:
        self._clock, self._total, self._free = clock, total, total
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def taken(self) -> int:
        """Credits that somebody has: 0 when idle."""
        return self._total - self._free

    def take(self) -> bool:
        """Take one if there is one and nobody waits for it."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Take one, in turn. Raises what `fail` was given."""
        if self.take():
            return
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            given_ns = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give()  # it was ours already, and is the next one's now
            raise
        self._clock.advance(given_ns)

    def give(self) -> None:
        """Give one back: to the first who waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._clock.now())
                return
        self._free += 1

    def fail(self, error: PerfuseError) -> None:
        """Nobody who waits will get one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)

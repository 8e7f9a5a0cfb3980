"""A node's clock that is wrong: ahead or behind, and fast or slow.

Emulated time is of devices and links, and nobody's clock. What a program reads from a clock of its
machine is a moment that it tells another one ("until 12:00:05"), and how soon a timeout is over.
So a wrong clock changes the moments that are told (`workers.wire.skewed`), and timeouts; what
counts how long something took goes by emulated time.
"""

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.host.clock.base import Clock

if TYPE_CHECKING:
    import asyncio

MILLION = 1_000_000


class _Wrong(NamedTuple):
    """How one cause has it, since `begun_ns`."""

    begun_ns: int
    ahead_ns: int
    drift_ppm: float


class Skew:
    """How wrong a clock is; right at first. What several do adds up."""

    def __init__(self) -> None:
        self._all: list[_Wrong] = []

    def begin(self, now_ns: int, ahead_ns: int, drift_ppm: float) -> None:
        self._all.append(_Wrong(now_ns, ahead_ns, drift_ppm))

    def end(self, ahead_ns: int, drift_ppm: float) -> None:
        """Take one that began so back: somebody sets the clock."""
        same = [one for one in self._all if one[1:] == (ahead_ns, drift_ppm)]
        assert same, "nothing of the kind has begun"
        self._all.remove(same[0])

    def ahead_ns(self, now_ns: int) -> int:
        """What it shows, less what is right."""
        return sum(
            one.ahead_ns + round((now_ns - one.begun_ns) * one.drift_ppm / MILLION)
            for one in self._all
        )

    @property
    def rate(self) -> float:
        """Its seconds in one that is right."""
        return 1 + sum(one.drift_ppm for one in self._all) / MILLION


class SkewedClock:
    """`clock`, by which timeouts end as early or late as `skew` has it."""

    def __init__(self, clock: Clock, skew: Skew) -> None:
        self._clock, self._skew, self.emulated = clock, skew, clock.emulated
        self.now, self.wall_now = clock.now, clock.wall_now
        self.advance, self.join_wall = clock.advance, clock.join_wall
        self.call_at, self.deadline_floor = clock.call_at, clock.deadline_floor

    @property
    def of_devices(self) -> Clock:
        return self._clock.of_devices

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        return self._clock.start(coroutine, name)

    async def wait_until(self, due_ns: int) -> None:
        await self._clock.wait_until(due_ns)

    def deadline(self, due_ns: int) -> AbstractAsyncContextManager[None]:
        now_ns = self.now()
        return self._clock.deadline(now_ns + round((due_ns - now_ns) / self._skew.rate))

"""Work that has begun on a machine."""

import asyncio
import math

from workers.hardware.sharing.base import Ended
from workers.host.clock.base import wake


def slowed_ns(took_ns: int, slow: float) -> int:
    """How long what takes so long takes a machine that is `slow` times as slow, rounded up."""
    return took_ns if slow == 1.0 else math.ceil(took_ns * slow)


class Launch:
    """Work that has begun, which ends with the last of its demands.

    due_ns       latest of the ends that are certain so far, with the launch's overhead; of a slow
                 machine, so many times as late
    num_open     demands whose ends a later arrival can still change
    joules       its energy
    """

    __slots__ = ("_overhead_ns", "_slow", "_start_ns", "_told", "due_ns", "joules", "num_open")

    def __init__(
        self, start_ns: int, num_demands: int, overhead_ns: int = 0, slow: float = 1.0
    ) -> None:
        self.num_open, self._overhead_ns = num_demands, overhead_ns
        self._start_ns, self._slow = start_ns, slow
        self._told: Ended | None = None
        self.due_ns, self.joules = self._late(start_ns), 0.0

    def _late(self, end_ns: int) -> int:
        due_ns = end_ns + self._overhead_ns
        if self._slow == 1.0:
            return due_ns
        return self._start_ns + slowed_ns(due_ns - self._start_ns, self._slow)

    def ended(self, end_ns: int) -> None:
        """One demand is done, then."""
        due_ns = self._late(end_ns)
        if due_ns > self.due_ns:
            self.due_ns = due_ns
        self.num_open -= 1
        if self._told is not None and not self.num_open:
            self._told(self.due_ns)

    def then(self, told: Ended) -> None:
        """Tell the end as soon as it is certain, perhaps now."""
        if self.num_open:
            self._told = told
        else:
            told(self.due_ns)

    async def certain(self) -> None:
        """Wait until no later arrival can change `due_ns`."""
        if self.num_open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda _: wake(waiter))
            await waiter

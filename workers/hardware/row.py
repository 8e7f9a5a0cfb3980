"""Launches alike in a row: each begins when the one before has ended, and nothing happens between.

While nobody else asks for anything of the machine, all take as long as the first did. So they are
counted together and waited for once; whoever asks meanwhile finds the machine as if they had come
one by one, and from the one in progress on they do.

    one by one    ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
    in a row      ▓▓[· · · · · ·]              somebody asks here
                                 ▓▓ ┄ ▓▓▓▓
"""

import asyncio
from collections.abc import Callable, Mapping

from workers.hardware.energy.phase import Cause
from workers.hardware.launch import Launch
from workers.hardware.resource import Resource
from workers.hardware.work import Work
from workers.host.clock.base import Clock, wake


class Row:
    """Of which the first has begun, alone on its machine.

    one, cause   each of them
    start_ns     of the first      took_ns   each of them
    num_begun    known when it is over, or was cut
    """

    __slots__ = (
        "_clock",
        "_timer",
        "_times",
        "_waiter",
        "cause",
        "num_begun",
        "one",
        "start_ns",
        "took_ns",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, one: Work, cause: Cause, start_ns: int, took_ns: int, times: int
    ) -> None:
        self._clock, self.one, self.cause = clock, one, cause
        self.start_ns, self.took_ns, self._times = start_ns, took_ns, times
        self.num_begun = 0
        self._waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer = clock.call_at(self.begins_ns(times), wake, self._waiter)

    def begins_ns(self, number: int) -> int:
        """When that one begins, the first being 0; of `times`, when all have ended."""
        return self.start_ns + number * self.took_ns

    async def over(self) -> None:
        """All have ended, or, where it was cut, those that had begun."""
        try:
            await self._waiter
        finally:
            self._timer.cancel()

    def cut(self, now_ns: int) -> int:
        """No more begin from now on; returns how many have."""
        begun = min(self._times, (now_ns - self.start_ns) // self.took_ns + 1)
        self.num_begun = begun
        if begun < self._times:
            self._timer.cancel()
            self._timer = self._clock.call_at(self.begins_ns(begun), wake, self._waiter)
        return begun


class Rows:
    """Of one machine: at most one goes on.

    begin    starts one launch: what it asks for, when, and for whom
    crosses  its demands ask for more than they say (buses): then all come one by one
    joules   of what was counted here
    """

    def __init__(
        self,
        clock: Clock,
        resources: Mapping[str, Resource],
        begin: Callable[[Work, int, Cause], Launch],
        *,
        crosses: bool,
    ) -> None:
        self._clock, self._resources, self._begin = clock, resources, begin
        self._crosses = crosses
        self.going: Row | None = None
        self.joules = 0.0

    async def run(self, cause: Cause, work: Work, start_ns: int) -> tuple[int, float]:
        """All of `work.times`; returns when the last has ended, and the joules of all. Where it is
        cancelled, the one in progress is the last.
        """
        one, left, due_ns, joules = work._replace(times=1), work.times, start_ns, 0.0
        while left:
            self.settle()
            begin_ns, is_alone = due_ns, left > 1 and self._is_free_for(one, due_ns)
            launch = self._begin(one, begin_ns, cause)
            if launch.num_open:
                await launch.certain()
            due_ns, num_begun = launch.due_ns, 1
            if is_alone and due_ns > begin_ns:
                row = self.going = Row(self._clock, one, cause, begin_ns, due_ns - begin_ns, left)
                try:
                    await row.over()
                finally:
                    if row is self.going:
                        self.settle()
                num_begun, due_ns = row.num_begun, row.begins_ns(row.num_begun)
            await self._clock.wait_until(due_ns)
            left, joules = left - num_begun, joules + num_begun * launch.joules
        return due_ns, joules

    def _is_free_for(self, work: Work, now_ns: int) -> bool:
        """Whether nobody else is served by what it asks for, and each demand by one of its own."""
        if self._crosses or any(d.ahead or d.in_flight is not None for d in work.demands):
            return False
        asked = [self._resources[demand.resource] for demand in work.demands]
        servers = {id(resource.shared) for resource in asked}
        return len(servers) == len(asked) and all(r.is_idle(now_ns) for r in asked)

    def settle(self) -> None:
        """Whoever asks now finds what has begun counted, as if it had come one by one."""
        row, self.going = self.going, None
        if row is None:
            return
        num_begun = row.cut(self._clock.now())
        over = num_begun - 2  # the first is counted; the last may be in progress
        if over > 0:
            for demand in row.one.demands:
                resource = self._resources[demand.resource]
                self.joules += resource.again(
                    row.begins_ns(1), row.took_ns, over, demand, row.cause
                )
        if num_begun > 1:
            self._begin(row.one, row.begins_ns(num_begun - 1), row.cause)

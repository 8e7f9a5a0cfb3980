"""Launches alike in a row: each begins when the one before has ended, and nothing happens between.

While nobody else asks for anything of the machine, all take as long as one alone. So they are
counted together and waited for once; whoever asks meanwhile finds the machine as if they had come
one by one, and from the one in progress on they do.

    one by one    ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓
    in a row      [· · · · · · ·]              somebody asks here
                                 ▓▓ ┄ ▓▓▓▓
"""

import asyncio
from collections.abc import Callable, Mapping

from workers.hardware.energy.phase import Cause
from workers.hardware.launch import Launch, slowed_ns
from workers.hardware.resource import Resource
from workers.hardware.work import Work
from workers.host.clock.base import Clock, wake


class Row:
    """Alone on its machine.

    one, cause   each of them
    start_ns     of the first      took_ns   each of them
    num_begun, joules   known when it is over, or was cut: how many, and of each of them
    """

    __slots__ = (
        "_clock",
        "_timer",
        "_times",
        "_waiter",
        "cause",
        "joules",
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
        self.num_begun, self.joules = 0, 0.0
        self._waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer = clock.call_at(self.begins_ns(times), wake, self._waiter)

    def begins_ns(self, number: int) -> int:
        """When that one begins, the first being 0; of the number of all, when they have ended."""
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
    overhead_ns   of each launch         slow   how many times as long each takes
    crosses  its demands ask for more than they say (buses): then all come one by one
    joules   of what was counted here
    """

    def __init__(
        self,
        clock: Clock,
        resources: Mapping[str, Resource],
        begin: Callable[[Work, int, Cause], Launch],
        overhead_ns: int,
        slow: float,
        *,
        crosses: bool,
    ) -> None:
        self._clock, self._resources, self._begin = clock, resources, begin
        self._overhead_ns, self.slow, self._crosses = overhead_ns, slow, crosses
        self.going: Row | None = None
        self.joules = 0.0
        self._slowed: list[Launch] = []

    def launch(self, start_ns: int, num_demands: int, overhead_ns: int) -> Launch:
        """One that begins."""
        launch = Launch(start_ns, num_demands, overhead_ns, self.slow)
        if self.slow != 1.0:
            going_on = [one for one in self._slowed if one.num_open or one.due_ns > start_ns]
            self._slowed = [*going_on, launch]
        return launch

    @property
    def slow_until_ns(self) -> int:
        """Until when launches go on that began while the machine was slow."""
        return max((launch.due_ns for launch in self._slowed), default=0)

    async def run(self, cause: Cause, work: Work, start_ns: int) -> tuple[int, float]:
        """All of `work.times`; returns when the last has ended, and the joules of all. Where it is
        cancelled, the one in progress is the last.
        """
        one, left, due_ns, joules = work._replace(times=1), work.times, start_ns, 0.0
        while left:
            self.settle()
            if left > 1 and (took_ns := self._alone_ns(one, due_ns)):
                row = self.going = Row(self._clock, one, cause, due_ns, took_ns, left)
                try:
                    await row.over()
                finally:
                    if row is self.going:
                        self.settle()
                num_begun, due_ns = row.num_begun, row.begins_ns(row.num_begun)
                joules += num_begun * row.joules
            else:
                launch = self._begin(one, due_ns, cause)
                if launch.num_open:
                    await launch.certain()
                num_begun, due_ns = 1, launch.due_ns
                joules += launch.joules
            await self._clock.wait_until(due_ns)
            due_ns = self._clock.now()  # later than that, where the node was stopped meanwhile
            left -= num_begun
        return due_ns, joules

    def _alone_ns(self, work: Work, now_ns: int) -> int:
        """How long one takes where nobody else is served by what it asks for, and each demand by a
        server of its own; else 0.
        """
        if self._crosses:
            return 0
        longest_ns, servers = 0, set[int]()
        for demand in work.demands:
            resource = self._resources.get(demand.resource)
            if resource is None or demand.ahead or demand.in_flight or not resource.is_idle(now_ns):
                return 0
            servers.add(id(resource.shared))
            longest_ns = max(longest_ns, resource.alone_ns(demand))
        if len(servers) != len(work.demands):
            return 0
        return slowed_ns(longest_ns + self._overhead_ns, self.slow)

    def settle(self) -> None:
        """Whoever asks now finds what has begun counted, as if it had come one by one."""
        row, self.going = self.going, None
        if row is None:
            return
        now_ns = self._clock.now()
        num_begun = row.cut(now_ns)
        over = num_begun - (row.begins_ns(num_begun) > now_ns)  # else one is in progress
        if over:
            for demand in row.one.demands:
                resource = self._resources[demand.resource]
                row.joules += resource.again(row.start_ns, row.took_ns, over, demand, row.cause)
            self.joules += row.joules
            row.joules /= over
        if over < num_begun:
            row.joules = self._begin(row.one, row.begins_ns(over), row.cause).joules

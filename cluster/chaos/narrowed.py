"""Narrow links, and how long they are felt: what a narrow link has taken crosses it at its rate,
also when meanwhile the link is wide again (`workers/wire/narrow.py`).
"""

from cluster.chaos.kinds import is_between
from cluster.chaos.trial import Fault
from workers.host.clock.base import Clock

NS_PER_S = 1_000_000_000


class Narrowed:
    """`faults` are those that are narrow now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.faults: list[Fault] = []
        # (fault, sender, receiver) -> until when what was sent there takes the link.
        self._taken_ns: dict[tuple[str, str, str], int] = {}
        self._over_ns = 0

    def begins(self, fault: Fault) -> None:
        self.faults.append(fault)

    def ends(self, fault: Fault) -> None:
        self.faults.remove(fault)
        self._over_ns = self._clock.now()

    def carries(self, source: str, destination: str, num_bytes: int) -> None:
        """A message sets out, between two nodes."""
        for fault in self.faults:
            if is_between(fault, source, destination):
                way = fault.name, source, destination
                begin_ns = max(self._taken_ns.get(way, 0), self._clock.now())
                self._taken_ns[way] = begin_ns + -(-num_bytes * NS_PER_S // fault.amount)

    def until_ns(self) -> int:
        """Until when any was felt: now, where one is narrow."""
        if self.faults:
            return self._clock.now()
        return max(self._over_ns, *self._taken_ns.values(), 0)

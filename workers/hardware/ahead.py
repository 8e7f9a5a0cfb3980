"""Weights that are read before they are asked for: a step goes through them in an order that never
changes, so what comes next is known, and a tier's latency is hidden behind what is read before it.

    buffer   [ half: being consumed | half: on its way, or there already ]

While a launch takes what is there, and the tier reads what is not, the other half fills with what
the next launch will take. So launches that follow each other take bytes / bandwidth, if half the
buffer holds bandwidth x latency (H3, IEEE CAL 2026: latency hiding buffer); with less, the latency
shows between them.
"""

from collections import deque

from workers.hardware.energy.phase import Cause
from workers.hardware.resource import Resource
from workers.hardware.sharing.base import Ended
from workers.hardware.work import Demand


class _Chunk:
    """Bytes on their way into the buffer, and who waits for them."""

    __slots__ = ("_end_ns", "_waiting", "num_bytes")

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._end_ns: int | None = None
        self._waiting: list[Ended] = []

    def ended(self, end_ns: int) -> None:
        self._end_ns = end_ns
        for told in self._waiting:
            told(end_ns)
        self._waiting.clear()

    def then(self, told: Ended) -> None:
        """Tell when all of it is there, perhaps now."""
        if self._end_ns is None:
            self._waiting.append(told)
        else:
            told(self._end_ns)


class _Last:
    """Tells the last of several ends, once all are known and no more will be asked for."""

    __slots__ = ("_end_ns", "_num_open", "_told")

    def __init__(self, now_ns: int, told: Ended) -> None:
        self._end_ns, self._told, self._num_open = now_ns, told, 1

    def one_more(self) -> Ended:
        self._num_open += 1
        return self.ended

    def ended(self, end_ns: int) -> None:
        self._end_ns = max(self._end_ns, end_ns)
        self._num_open -= 1
        if not self._num_open:
            self._told(self._end_ns)


class ReadAhead:
    """Of one tier's reads.

    half_bytes   of its buffer: so much is read ahead
    """

    def __init__(self, resource: Resource, half_bytes: int) -> None:
        self._resource, self._half_bytes = resource, half_bytes
        self._chunks: deque[_Chunk] = deque()
        self._held_bytes = 0

    def take(self, now_ns: int, demand: Demand, ended: Ended, cause: Cause) -> float:
        """`ended` is told when all of it is there. Returns the joules of what the tier reads now:
        what is not in the buffer, and what takes its place there.
        """
        last, left, joules = _Last(now_ns, ended), demand.amount, 0.0
        while left and self._chunks:
            chunk = self._chunks[0]
            used = min(left, chunk.num_bytes)
            chunk.then(last.one_more())
            chunk.num_bytes -= used
            self._held_bytes -= used
            left -= used
            if not chunk.num_bytes:
                self._chunks.popleft()
        if left:
            missing = Demand(demand.resource, left)
            joules += self._resource.take(now_ns, missing, last.one_more(), cause)
        ahead = self._half_bytes - self._held_bytes
        if ahead:
            self._chunks.append(_Chunk(ahead))
            self._held_bytes += ahead
            filling = Demand(demand.resource, ahead)
            joules += self._resource.take(now_ns, filling, self._chunks[-1].ended, cause)
        last.ended(now_ns)
        return joules

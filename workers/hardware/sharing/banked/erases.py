"""Erases of a tier with banks. Pages that follow one another lie over its planes in turn, so what a
file erases whole is a part of each of many planes: these erase their parts at once, and sense and
program nothing meanwhile.
"""

from collections import deque

from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked import PS
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.banked.by_pages import ByPages
from workers.hardware.sharing.base import Ended
from workers.hardware.work import Demand


class Erases(ByPages):
    """An access is a block: it begins at a page, and has its share of the amount, in pages."""

    def __init__(self, array: Array) -> None:
        # Latencies stay empty: pages alone are told of. Nobody says what energy an erase takes.
        super().__init__(array, Latencies(), {"": 0.0})
        self._ends_ps: deque[int] = deque()
        self._num_done = 0

    @property
    def rate_per_s(self) -> int:
        """Pages a second with all planes at work, if each erased one page at a time."""
        planes = self._array.geometry.planes
        return max(1, planes * 10**12 // max(1, self._array.planes.erase_ps))

    def take(self, now_ns: int, demand: Demand, ended: Ended) -> tuple[int]:
        """Nothing crosses a bus."""
        geometry, planes = self._array.geometry, self._array.planes
        pages, end_ps = -(-demand.amount // demand.accesses), now_ns * PS
        for start in self._starts(demand):
            for page in range(start, start + min(pages, geometry.planes)):
                plane = page % geometry.planes
                done_ps = planes.erase(now_ns * PS, plane)
                self._array.cache.drop(plane % geometry.banks)
                self._ends_ps.append(done_ps)
                end_ps = max(end_ps, done_ps)
        ended(-(-end_ps // PS))
        return (0,)

    def begins_ns(self, now_ns: int) -> int:
        return now_ns

    def busy_ns(self, now_ns: int) -> int:
        """Its share of all planes' time, of erases that are done."""
        under_way = deque(end_ps for end_ps in self._ends_ps if end_ps > now_ns * PS)
        self._num_done += len(self._ends_ps) - len(under_way)
        self._ends_ps = under_way
        return self._num_done * self._array.planes.erase_ps // (self._array.geometry.planes * PS)

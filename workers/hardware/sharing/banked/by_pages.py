"""What reads and writes of a tier with banks have in common: they are asked for by pages, which lie
somewhere.
"""

from abc import ABC, abstractmethod

from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.base import Ended, Rate
from workers.hardware.work import Demand


class ByPages(ABC):
    """One way of one tier, first come, first served.

    latencies   how long each page took so far
    """

    def __init__(self, array: Array, latencies: Latencies) -> None:
        self._array, self.latencies = array, latencies

    @abstractmethod
    def take(self, now_ns: int, demand: Demand, ended: Ended) -> None:
        """Ask at `now_ns`; the end is certain, and `ended` told, within this call."""

    def _starts(self, demand: Demand) -> list[int]:
        """The page with which each access begins: where it is said to, or anywhere."""
        starts = list(demand.pages) if demand.pages else self._array.draw(demand.accesses)
        assert len(starts) == demand.accesses, demand
        return starts

    def serve(
        self,
        now_ns: int,
        amount: int,
        rate_per_s: Rate,
        ended: Ended,
        limit_per_s: Rate | None = None,
        pieces: int = 1,
    ) -> None:
        """What says nothing of pages is anywhere; the rate is the tier's own."""
        self.take(now_ns, Demand(self._array.name, amount, pieces), ended)

    @abstractmethod
    def begins_ns(self, now_ns: int) -> int: ...

    @abstractmethod
    def busy_ns(self, now_ns: int) -> int: ...

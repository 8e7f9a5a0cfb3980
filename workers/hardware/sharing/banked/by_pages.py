"""What reads and writes of a tier with banks have in common: they are asked for by pages, which lie
somewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.base import Ended, Rate
from workers.hardware.work import Demand


class ByPages(ABC):
    """One way of one tier, first come, first served.

    latencies   how long each page took so far
    parts       what of it costs energy, as the end of a name -> joules a byte
    moved       bytes so far that crossed a bus
    """

    def __init__(self, array: Array, latencies: Latencies, parts: Mapping[str, float]) -> None:
        self._array, self.latencies, self.parts = array, latencies, parts
        self.moved = 0

    @abstractmethod
    def take(self, now_ns: int, demand: Demand, ended: Ended) -> tuple[int, ...]:
        """Ask at `now_ns`; the end is certain, and `ended` told, within this call. Returns the
        bytes of each of the parts.
        """

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

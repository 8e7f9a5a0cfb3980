"""One thing of a machine that work may ask for by name: an engine's dtype, a tier's direction."""

from workers.hardware.sharing.base import Ended, Shared
from workers.hardware.work import Demand


class Resource:
    """A rate, what an access costs beside it, and how those who ask at once share it.

    shared        who gets how much; the two directions of a bus may hold the same
    rate_per_s    units (operations, bytes) a second
    page          units that are moved as a whole: each access is rounded up to it
    latency_ns    from the last unit's turn until it is there
    queue_depth   most pages in flight, so that no more than depth x page / latency can arrive
                  (Little's law); None: as many as it takes
    unit_joules   energy of a unit of what is asked for, before pages
    """

    __slots__ = (
        "_latency_ns", "_page", "_rate_per_s", "shared", "unit_joules",
    )  # fmt: skip

    def __init__(
        self,
        shared: Shared,
        rate_per_s: float,
        *,
        page: int = 1,
        latency_ns: int = 0,
        queue_depth: int | None = None,
        unit_joules: float = 0.0,
    ) -> None:
        self.shared, self.unit_joules = shared, unit_joules
        self._page, self._latency_ns = page, latency_ns
        self._rate_per_s = rate_per_s
        if queue_depth is not None and latency_ns:
            self._rate_per_s = min(rate_per_s, self._arriving_per_s(queue_depth))

    def take(self, now_ns: int, demand: Demand, ended: Ended) -> None:
        """Ask for it at `now_ns`; `ended` is told when all is there, as soon as that is certain."""
        _, amount, accesses, in_flight = demand
        assert amount >= 0, demand
        assert accesses > 0, demand
        page, latency_ns = self._page, self._latency_ns
        if page > 1 or accesses > 1:
            # ceil(ceil(amount / accesses) / page) pages for each access
            amount = -(-amount // (accesses * page)) * page * accesses
        limit_per_s = 0.0
        if in_flight is not None and latency_ns:
            assert in_flight > 0, demand
            limit_per_s = self._arriving_per_s(in_flight)
            if limit_per_s >= self._rate_per_s:
                limit_per_s = 0.0
        if latency_ns:
            there = ended
            ended = lambda end_ns: there(end_ns + latency_ns)  # noqa: E731
        self.shared.serve(now_ns, amount, self._rate_per_s, ended, limit_per_s, accesses)

    def busy_ns(self, now_ns: int) -> int:
        """How long it has worked until now; of a bus, both directions."""
        return self.shared.busy_ns(now_ns)

    def _arriving_per_s(self, pages_in_flight: int) -> float:
        return pages_in_flight * self._page * 1e9 / self._latency_ns

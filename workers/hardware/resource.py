"""One thing of a machine that work may ask for by name: an engine's dtype, a tier's direction."""

from fractions import Fraction

from workers.hardware.energy.meter import Component, Meter
from workers.hardware.energy.phase import Cause, Phase
from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked.by_pages import ByPages
from workers.hardware.sharing.base import Ended, Rate, Shared, duration_ns
from workers.hardware.sharing.depth import Depth, alone
from workers.hardware.sharing.fair import GRAINS, grains
from workers.hardware.sharing.in_order import Fifo
from workers.hardware.taken import Taken
from workers.hardware.work import Demand


class Resource:
    """A rate, what an access costs beside it, and how those who ask at once share it.

    shared        who gets how much; the two directions of a bus may hold the same
    rate_per_s    units (operations, bytes) a second
    page          units that are moved as a whole: each access is rounded up to it
    latency_ns    from the last unit's turn until it is there
    depth         who has a place among the pages in flight; None: there are always enough
    banked        serves it instead of all these where the tier has banks
    unit_joules   energy of a unit of what is moved, in whole pages; with banks, its parts'
    taken         when anybody asks; the two directions of a bus have the same
    component     what its energy is metered as; None: it needs none
    asked         units so far, as they were asked for
    """

    __slots__ = (
        "_banked", "_components", "_depth", "_latency_ns", "_moved", "_num_accesses", "_page",
        "_rate_per_s", "_turn", "asked", "component", "shared", "taken", "unit_joules",
    )  # fmt: skip

    def __init__(
        self,
        shared: Shared,
        rate_per_s: Rate,
        *,
        page: int = 1,
        latency_ns: int = 0,
        depth: Depth | None = None,
        banked: ByPages | None = None,
        unit_joules: float = 0.0,
        taken: Taken | None = None,
    ) -> None:
        self.shared, self.unit_joules = shared, unit_joules
        self._banked, self.taken = banked, taken or Taken()
        self.component: Component | None = None
        # Of the parts, where there are banks.
        self._components: list[Component | None] = (
            [] if banked is None else [None] * len(banked.parts)
        )
        self._num_accesses = self.asked = self._moved = 0
        self._page, self._latency_ns, self._depth = page, latency_ns, depth
        self._rate_per_s, self._turn = rate_per_s, grains(page, rate_per_s)

    def metered(self, meter: Meter, name: str) -> None:
        """Meter it by that name: with banks, each of its parts by one of its own."""
        if self._banked is None:
            self.component = meter.component(name, self.unit_joules)
        else:
            parts = self._banked.parts
            self._components = [meter.component(name + part, parts[part]) for part in parts]

    def take(
        self, now_ns: int, demand: Demand, ended: Ended, cause: Cause = Phase.SERVING
    ) -> float:
        """Ask for it at `now_ns`; `ended` is told when all is there, as soon as that is certain.
        Returns the joules that it costs, which are metered.
        """
        _, amount, accesses, in_flight, _, _ = demand
        assert amount >= 0, demand
        assert accesses > 0, demand
        self.asked += amount
        self._num_accesses += accesses
        ended = self.taken.until(now_ns, ended)
        if self._banked is not None:
            return self._take_pages(self._banked, now_ns, demand, ended, cause)
        page, latency_ns = self._page, self._latency_ns
        if page > 1 or accesses > 1:
            amount = self._in_pages(amount, accesses)
        limit_per_s = None
        if in_flight is not None and latency_ns:
            assert in_flight > 0, demand
            limit_per_s = self._limit_per_s(amount, in_flight)
        if self._depth is not None:
            pages = -(-amount // page)
            ended = _Both(ended).ended
            self._depth.serve(now_ns, pages, in_flight or pages or 1, ended)
        if latency_ns:
            there = ended
            ended = lambda end_ns: there(end_ns + latency_ns)  # noqa: E731
        if self.component is not None and amount:
            self.component.count(amount, cause)
            ended = self.component.until(self.shared.begins_ns(now_ns), amount, ended)
        self._moved += amount
        self.shared.serve(now_ns, amount, self._rate_per_s, ended, limit_per_s, accesses)
        return amount * self.unit_joules

    def is_idle(self, now_ns: int) -> bool:
        """Whether it is one server that keeps no places, and nobody has it."""
        if self._banked is not None or self._depth is not None:
            return False
        return isinstance(self.shared, Fifo) and self.shared.is_idle(now_ns)

    def alone_ns(self, demand: Demand) -> int:
        """How long it takes where it is idle."""
        amount = self._in_pages(demand.amount, demand.accesses)
        return duration_ns(amount, self._rate_per_s) + self._latency_ns

    def again(
        self, start_ns: int, every_ns: int, times: int, demand: Demand, cause: Cause
    ) -> float:
        """`take` so many times, each when it is idle: at `start_ns`, and then every so often.
        Returns the joules. The meter's timeline spreads them evenly.
        """
        assert isinstance(self.shared, Fifo), "`is_idle` said so"
        amount = self._in_pages(demand.amount, demand.accesses)
        took_ns = duration_ns(amount, self._rate_per_s)
        self.asked += demand.amount * times
        self._num_accesses += demand.accesses * times
        self._moved += amount * times
        self.taken.again(start_ns, every_ns, times, took_ns + self._latency_ns)
        end_ns = self.shared.again(start_ns, every_ns, times, took_ns)
        if self.component is not None and amount:
            self.component.count(amount, cause, times)
            self.component.until(start_ns, amount * times, _nobody)(end_ns)
        return amount * times * self.unit_joules

    def _in_pages(self, amount: int, accesses: int) -> int:
        """ceil(ceil(amount / accesses) / page) pages for each access."""
        return -(-amount // (accesses * self._page)) * self._page * accesses

    def _take_pages(
        self, banked: ByPages, now_ns: int, demand: Demand, ended: Ended, cause: Cause
    ) -> float:
        """What is sensed and moved is known with the end, which is certain at once."""
        ends: list[int] = []
        amounts = banked.take(now_ns, demand, ends.append)
        joules = 0.0
        for amount, component, unit_joules in zip(
            amounts, self._components, banked.parts.values(), strict=True
        ):
            joules += amount * unit_joules
            if component is not None and amount:
                component.count(amount, cause)
                component.until(now_ns, amount, _nobody)(ends[0])
        ended(ends[0])
        return joules

    @property
    def work_rate(self) -> Rate:
        """Units a second."""
        return self._rate_per_s

    def tally(self) -> tuple[int, int, int]:
        """Units asked for, units moved, and accesses, so far; where there are no banks."""
        return self.asked, self._moved, self._num_accesses

    def did(self, tally: tuple[int, int, int]) -> None:
        """So much more was asked for, moved and accessed: somebody else has kept the time."""
        self.asked += tally[0]
        self._moved += tally[1]
        self._num_accesses += tally[2]

    @property
    def moved(self) -> int:
        """Units so far in whole pages; with banks, bytes that crossed a bus."""
        return self._moved if self._banked is None else self._banked.moved

    def work_ns(self) -> tuple[int, int]:
        """How long its rate needs for what was moved so far, and by how much that may be off: a ns
        of each access, as ends are whole ones.
        """
        rate = Fraction(self._rate_per_s)
        return int(self._moved * 10**9 / rate), self._num_accesses + 1

    def busy_ns(self, now_ns: int) -> int:
        """How long it has worked until now; of a bus, both directions."""
        return self.shared.busy_ns(now_ns)

    @property
    def banked(self) -> ByPages | None:
        """What serves it where the tier has banks."""
        return self._banked

    @property
    def latencies(self) -> Latencies | None:
        """Of the pages that were read or written so far; None where there are no banks."""
        return None if self._banked is None else self._banked.latencies

    def _limit_per_s(self, amount: int, in_flight: int) -> Fraction | None:
        """How fast it is alone with few pages in flight; None: as fast as with many."""
        pages = -(-amount // self._page)
        took = alone(pages, in_flight, self._turn, self._latency_ns)
        if took <= pages * self._turn:
            return None
        return Fraction(amount * 10**9 * GRAINS, took)


def _nobody(_: int) -> None:
    """Hears of an end that is known already."""


class _Both:
    """Told twice, tells the later end."""

    __slots__ = ("_end_ns", "_told")

    def __init__(self, told: Ended) -> None:
        self._told, self._end_ns = told, -1

    def ended(self, end_ns: int) -> None:
        if self._end_ns < 0:
            self._end_ns = end_ns
        else:
            self._told(max(self._end_ns, end_ns))

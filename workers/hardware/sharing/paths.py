"""Max-min fair shares for flows that each cross several resources: a network's hops.

Progressive filling: all flows grow together, in proportion to their weights, until a resource is
full or a flow is at its limit; those stop, and the others grow on. A flow that joins or leaves
changes the rates only of flows that it meets, at first or second hand; those alone are filled anew,
and one that meets nobody costs no filling at all.

Integers as in `Fair`: a flow's rate is rounded up to a grain, which here is the GRAINSth part of a
unit (a byte) a second over a ns, and ends are whole ns, rounded up.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence

from workers.hardware.sharing.base import Ended, Flow
from workers.hardware.sharing.fair import GRAINS

_UNIT = 1_000_000_000 * GRAINS  # grains of a unit: with so many, a unit a second is GRAINS a ns


class PathFlow(Flow):
    """A flow of `amount` units over the resources of `path`, each once.

    limit_per_s   most units a second that it can take; None: as much as its path gives
    weight        its share beside others
    """

    __slots__ = ("left", "limit", "order", "path", "promise_ns", "rate", "since_ns", "weight")
    order: int  # of joining
    since_ns: int

    def __init__(
        self,
        ended: Ended,
        amount: int,
        path: Sequence[str],
        limit_per_s: int | None = None,
        weight: int = 1,
    ) -> None:
        assert path, "a flow crosses something"
        super().__init__(ended)
        self.left = amount * _UNIT  # grains still to be served at `since_ns`
        self.path, self.weight = tuple(path), weight
        self.limit = None if limit_per_s is None else limit_per_s * GRAINS  # grains a ns
        self.rate = 0  # grains a ns since `since_ns`
        self.promise_ns: int | None = None  # its end if nothing changes


class _Hop:
    """One resource and who is on it, in order of joining."""

    __slots__ = ("flows", "rate", "served")

    def __init__(self, rate_per_s: int) -> None:
        self.rate = rate_per_s * GRAINS  # grains a ns
        self.flows: dict[int, PathFlow] = {}
        self.served = 0  # grains


class Paths:
    """Resources by name, each of a rate in units a second."""

    def __init__(self, rates_per_s: Mapping[str, int]) -> None:
        self._hops = {name: _Hop(rate) for name, rate in rates_per_s.items()}
        self._now_ns = 0
        self._ends: list[tuple[int, int, PathFlow]] = []  # a heap; old promises fall out on top
        self._num_joined = 0

    @property
    def next_end_ns(self) -> int | None:
        """The next end if nobody joins or leaves before."""
        while self._ends and self._ends[0][2].promise_ns != self._ends[0][0]:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def join(self, now_ns: int, flow: PathFlow) -> None:
        """A flow joins. Ends until then must have been taken (`advance`); who joins in the past
        joins now.
        """
        self._now_ns = max(now_ns, self._now_ns)
        self._num_joined += 1
        flow.order, flow.since_ns = self._num_joined, self._now_ns
        for name in flow.path:
            self._hops[name].flows[flow.order] = flow
        self._refill([flow])

    def leave(self, now_ns: int, flow: PathFlow) -> None:
        """A flow leaves before its end and keeps what it has had; after it, nothing happens."""
        if flow.promise_ns is None:
            return
        self._now_ns = max(now_ns, self._now_ns)
        self._settle(flow)
        self._refill(self._remove(flow))

    def advance(self, now_ns: int) -> list[PathFlow]:
        """Go on to `now_ns`; returns the flows that ended, in order of ends, then of joining."""
        ended: list[PathFlow] = []
        while (end_ns := self.next_end_ns) is not None and end_ns <= now_ns:
            self._now_ns = max(end_ns, self._now_ns)
            neighbours: list[PathFlow] = []
            while self.next_end_ns == end_ns:
                flow = heapq.heappop(self._ends)[2]
                self._settle(flow)
                flow.end_ns = end_ns
                neighbours += self._remove(flow)
                ended.append(flow)
            self._refill(flow for flow in neighbours if flow.end_ns is None)
        self._now_ns = max(now_ns, self._now_ns)
        return ended

    def busy_ns(self, name: str) -> int:
        """Work that one resource has done until the last event, as time of the whole resource."""
        hop = self._hops[name]
        flowing = sum(f.rate * (self._now_ns - f.since_ns) for f in hop.flows.values())
        return (hop.served + flowing) // hop.rate

    def _settle(self, flow: PathFlow) -> None:
        """Write down what a flow has had at its rate until now."""
        had = min(flow.rate * (self._now_ns - flow.since_ns), flow.left)
        flow.left -= had
        flow.since_ns = self._now_ns
        for name in flow.path:
            self._hops[name].served += had

    def _remove(self, flow: PathFlow) -> list[PathFlow]:
        """Take a flow off its path; returns who met it there."""
        flow.promise_ns = None
        neighbours: list[PathFlow] = []
        for name in flow.path:
            del self._hops[name].flows[flow.order]
            neighbours += self._hops[name].flows.values()
        return neighbours

    def _refill(self, touched: Iterable[PathFlow]) -> None:
        """New rates for these flows and all that share with them, at any remove."""
        flows: dict[int, PathFlow] = {}
        names: dict[str, None] = {}
        waiting = list(touched)
        while waiting:
            flow = waiting.pop()
            if flow.order in flows:
                continue
            flows[flow.order] = flow
            for name in flow.path:
                if name not in names:
                    names[name] = None
                    waiting += self._hops[name].flows.values()
        rates = filled([flows[order] for order in sorted(flows)], self._rates_of(names))
        for flow, rate in rates:
            if rate != flow.rate:
                self._settle(flow)
                flow.rate = rate
                flow.promise_ns = self._now_ns + -(-flow.left // rate)
                heapq.heappush(self._ends, (flow.promise_ns, flow.order, flow))

    def _rates_of(self, names: Iterable[str]) -> dict[str, int]:
        return {name: self._hops[name].rate for name in names}


def filled(flows: Sequence[PathFlow], rates: Mapping[str, int]) -> list[tuple[PathFlow, int]]:
    """Progressive filling of `rates` (resource -> grains a ns): each flow with its share."""
    if len(flows) == 1:
        flow = flows[0]
        widest = min(rates[name] for name in flow.path)
        return [(flow, widest if flow.limit is None else min(flow.limit, widest))]
    left = dict(rates)
    weights = dict.fromkeys(rates, 0)
    for flow in flows:
        for name in flow.path:
            weights[name] += flow.weight
    shares: list[tuple[PathFlow, int]] = []
    growing = list(flows)
    while growing:
        levels = {name: -(-left[name] // weight) for name, weight in weights.items() if weight}
        level = min(levels.values())
        stopping = [
            (flow, flow.limit)
            for flow in growing
            if flow.limit is not None and flow.limit <= level * flow.weight
        ] or [
            (flow, level * flow.weight)
            for flow in growing
            if any(levels[name] == level for name in flow.path)
        ]
        for flow, rate in stopping:
            for name in flow.path:
                left[name] -= rate
                weights[name] -= flow.weight
        stopped = {flow.order for flow, _ in stopping}
        growing = [flow for flow in growing if flow.order not in stopped]
        shares += stopping
    return shares

"""Max-min fair shares for flows that each cross several resources: a network's hops.

Progressive filling (`filling`): all flows grow together, in proportion to their weights, until a
resource is full or a flow is at its limit; those stop, and the others grow on. Flows that join or
leave change the rates only of flows that they meet, at first or second hand, and those alone are
filled anew: once for all that join before anything is asked, or end at one instant.

Integers as in `Fair`: a flow's rate is rounded up to a grain, which here is the GRAINSth part of a
unit (a byte) a second over a ns, and ends are whole ns, rounded up.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from workers.hardware.sharing.filling import ROUNDING, Load, by_rank, fill, holds_elsewhere
from workers.hardware.sharing.hops import UNIT, Hop, PathFlow

# After so many enlargements of what is filled anew it is all that flows meet, at any remove.
_ENLARGED_MAX = 6


class Paths:
    """Resources by name, each of a rate in units a second."""

    def __init__(self, rates_per_s: Mapping[str, int]) -> None:
        self._hops = {name: Hop(rate) for name, rate in rates_per_s.items()}
        self._now_ns = 0
        self._ends: list[tuple[int, int, PathFlow]] = []  # a heap; old promises fall out on top
        self._num_joined = self._num_flows = 0
        self._fresh: dict[int, PathFlow] = {}  # joined, and without a rate yet
        self._ranked = False

    def add(self, name: str, rate_per_s: int) -> None:
        """One resource more."""
        assert name not in self._hops, f"{name} is known"
        self._hops[name] = Hop(rate_per_s)

    def __contains__(self, name: str) -> bool:
        return name in self._hops

    def num_flows(self, name: str) -> int:
        """How many are on a resource now."""
        return len(self._hops[name].flows)

    def peak(self, name: str) -> int:
        """Most that were on it at once."""
        return self._hops[name].peak

    @property
    def now_ns(self) -> int:
        """Of the last event."""
        return self._now_ns

    @property
    def next_end_ns(self) -> int | None:
        """The next end if nobody joins or leaves before."""
        if self._fresh:
            self._fill_fresh()
        while self._ends and self._ends[0][2].promise_ns != self._ends[0][0]:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def join(self, now_ns: int, flow: PathFlow) -> None:
        """A flow joins. Ends until then must have been taken (`advance`); who joins in the past
        joins now.
        """
        if now_ns > self._now_ns:
            if self._fresh:
                self._fill_fresh()
            self._now_ns = now_ns
        self._num_joined += 1
        self._num_flows += 1
        flow.order, flow.since_ns = self._num_joined, self._now_ns
        self._fresh[flow.order] = flow
        hops = self._hops
        flow.hops = tuple([hops[name] for name in flow.path])
        for hop in flow.hops:
            flows = hop.flows
            flows[flow.order] = flow
            if len(flows) > hop.peak:
                hop.peak = len(flows)
        if flow.rank:
            self._ranked = True

    def leave(self, now_ns: int, flow: PathFlow) -> None:
        """A flow leaves before its end and keeps what it has had; after it, nothing happens."""
        if not flow.hops:
            return
        if self._fresh:
            self._fill_fresh()
        self._now_ns = max(now_ns, self._now_ns)
        self._refill(self._removed([flow]))

    def advance(self, now_ns: int) -> list[PathFlow]:
        """Go on to `now_ns`; returns the flows that ended, in order of ends, then of joining."""
        ended: list[PathFlow] = []
        while (end_ns := self.next_end_ns) is not None and end_ns <= now_ns:
            self._now_ns = max(end_ns, self._now_ns)
            gone: list[PathFlow] = []
            while self.next_end_ns == end_ns:
                flow = heapq.heappop(self._ends)[2]
                flow.end_ns, flow.promise_ns = end_ns, None
                gone.append(flow)
            ended += gone
            self._refill(self._removed(gone))
        self._now_ns = max(now_ns, self._now_ns)
        return ended

    def busy_ns(self, name: str) -> int:
        """Work that one resource has done until the last event, as time of the whole resource."""
        hop = self._hops[name]
        return (hop.served + hop.used * (self._now_ns - hop.since_ns)) // hop.rate

    def served(self, name: str) -> int:
        """Units that have crossed one resource until the last event, rounded up."""
        hop = self._hops[name]
        return -(-(hop.served + hop.used * (self._now_ns - hop.since_ns)) // UNIT)

    def saved(self) -> Any:
        """See `ManyPaths`."""
        hops = tuple([(name, *hop.saved()) for name, hop in self._hops.items()])
        found = {flow.order: flow for hop in self._hops.values() for flow in hop.flows.values()}
        flows = tuple([found[order].saved() for order in sorted(found)])
        return hops, flows, tuple(self._fresh), self._now_ns, self._num_joined, self._ranked

    @classmethod
    def of_saved(cls, saved: Any) -> "Paths":
        paths = cls({})
        hops, flows, fresh, paths._now_ns, paths._num_joined, paths._ranked = saved
        paths._hops = {name: Hop.of_saved(state) for name, *state in hops}
        known = [PathFlow.of_saved(flow, paths._hops) for flow in flows]
        paths._num_flows = len(known)
        paths._fresh = {flow.order: flow for flow in known if flow.order in fresh}
        paths._ends = [(f.promise_ns, f.order, f) for f in known if f.promise_ns is not None]
        heapq.heapify(paths._ends)
        return paths

    def _removed(self, gone: Sequence[PathFlow]) -> dict[int, PathFlow]:
        """Take flows off their paths; returns those that nothing holds back any more."""
        now_ns = self._now_ns
        touched: dict[Hop, None] = {}
        self._num_flows -= len(gone)
        for flow in gone:
            # What its last ns had too much is not served.
            over = max(0, flow.rate * (now_ns - flow.since_ns) - flow.left)
            for hop in flow.hops:
                del hop.flows[flow.order]
                hop.change(now_ns, -flow.rate)
                hop.served -= over
                hop.is_known = False
                touched[hop] = None
            flow.hops, flow.promise_ns = (), None
        return {
            other.order: other
            for hop in touched
            for other in hop.flows.values()
            if self._ranked or (other.held_by is hop and not holds_elsewhere(other, hop))
        }

    def _fill_fresh(self) -> None:
        fresh, self._fresh = self._fresh, {}
        for flow in fresh.values():
            for hop in flow.hops:
                hop.is_known = False
        self._refill(fresh)

    def _refill(self, flows: dict[int, PathFlow]) -> None:
        """New rates for these flows, and for all whose rates follow from theirs."""
        if not flows:
            return
        if self._ranked:
            everyone = _all_that_meet(flows)
            self._keep(everyone, by_rank(everyone))
            return
        for _ in range(_ENLARGED_MAX):
            loads = fill(flows.values())
            more = _others_moved(flows, loads)
            if not more:
                break
            flows |= more
        else:
            flows = _all_that_meet(flows)
            loads = fill(flows.values())
        self._keep(flows, loads)

    def _keep(self, flows: Mapping[int, PathFlow], loads: Mapping[Hop, Load]) -> None:
        """What was filled holds from now on."""
        now_ns, ends = self._now_ns, self._ends
        for hop, load in loads.items():
            used = hop.rate - load.left
            if used != hop.used:
                hop.change(now_ns, used - hop.used)
            hop.is_known = False
        for flow in flows.values():
            flow.held_by, rate = flow.new_held_by, flow.new_rate
            if rate != flow.rate:
                if flow.rate:
                    flow.left = max(0, flow.left - flow.rate * (now_ns - flow.since_ns))
                flow.since_ns, flow.rate = now_ns, rate
                flow.level = rate if flow.weight == 1 else rate // flow.weight
                if not rate:
                    flow.promise_ns = None
                    continue
                flow.promise_ns = now_ns - -flow.left // rate
                heapq.heappush(ends, (flow.promise_ns, flow.order, flow))
        if len(ends) > 4 * self._num_flows + 64:  # shares that grow leave old promises behind
            ends[:] = [end for end in ends if end[2].promise_ns == end[0]]
            heapq.heapify(ends)


def _others_moved(flows: Mapping[int, PathFlow], loads: Mapping[Hop, Load]) -> dict[int, PathFlow]:
    """Of all that were not filled anew, those that have more than some who are held back beside
    them, and those that nothing holds back any more.
    """
    moved: dict[int, PathFlow] = {}
    for hop, load in loads.items():
        if len(load.flows) == len(hop.flows):
            continue
        held, top, full = load.held, load.top, load.left <= ROUNDING
        for order, other in hop.flows.items():
            if order in flows or order in moved:
                continue
            if held is not None and other.level > held + ROUNDING:
                moved[order] = other
                continue
            if other.held_by is not hop or (full and top <= other.level + ROUNDING):
                continue
            if not holds_elsewhere(other, hop, loads):
                moved[order] = other
    return moved


def _all_that_meet(flows: Mapping[int, PathFlow]) -> dict[int, PathFlow]:
    """These and all that share with them, at any remove, in order of joining."""
    found: dict[int, PathFlow] = {}
    seen: dict[Hop, None] = {}
    waiting = list(flows.values())
    while waiting:
        flow = waiting.pop()
        if flow.order not in found:
            found[flow.order] = flow
            for hop in flow.hops:
                if hop not in seen:
                    seen[hop] = None
                    waiting += hop.flows.values()
    return {order: found[order] for order in sorted(found)}

"""Max-min fair shares of one resource, for flows that join and leave.

Every flow gets its weight's part of the resource; who cannot take that much (its own limit is
lower) leaves the rest to the others. Flows are measured in the time that they would have the whole
resource for, so that reads and writes of one bus share it whatever their rates.

Nobody's progress is written down while it goes on. All flows without a limit are served alike: one
number, how far a flow of weight 1 has come, tells of each when it joined and when it will end
(virtual time, as in Parekh and Gallager's generalised processor sharing, 1993). So joining and
ending cost a heap operation however many flows there are. Flows with a limit are few, and are gone
through one by one.

Arithmetic is in integers, and what is served adds up exactly. The unit is a grain, of which the
resource serves GRAINS in each ns: a number that all counts of flows up to 32 divide, so that equal
shares are whole. Elsewhere a share is rounded up by less than a grain, 7e-21 of the resource, which
can show only where a flow's end is that near to a whole ns. Ends are whole ns, rounded up, and a
flow keeps its share until then.
"""

import heapq
import math
from bisect import insort

from workers.hardware.sharing.base import Ended, Flow, Rate

GRAINS = math.lcm(*range(1, 33)) << 20


class FairFlow(Flow):
    """A flow through one resource.

    grains   what is still to be served when it joins (see `grains`)
    limit    most grains a ns that it can take; None: all there are
    weight   its share beside others
    """

    __slots__ = ("finish", "gone", "grains", "limit", "order", "rate", "weight")
    order: int  # of joining
    finish: int  # without a limit: where it ends, on the scale of `Fair._reached`
    rate: int  # with a limit: grains a ns

    def __init__(
        self, ended: Ended, grains: int, limit: int | None = None, weight: int = 1
    ) -> None:
        # As `Flow` does it: a message is one on each of its lanes, and a call more would show.
        self.ended, self.end_ns = ended, None
        self.grains, self.weight = grains, weight
        self.limit = limit if limit is not None and limit < GRAINS else None
        self.gone = False  # left, or ended


def grains(amount: int, rate_per_s: Rate) -> int:
    """`amount` as time of a whole resource of that rate, in grains, rounded up."""
    units, seconds = rate_per_s.as_integer_ratio()
    assert units > 0, f"a rate of {rate_per_s} serves nothing: it must be above 0"
    return -(-amount * (1_000_000_000 * GRAINS) * seconds // units)


def part_of(limit_per_s: Rate, rate_per_s: Rate) -> int:
    """A limit as grains a ns of a resource of that rate, rounded up."""
    return max(1, -int(-GRAINS * limit_per_s // rate_per_s))


class Fair:
    """One resource, fairly shared."""

    def __init__(self) -> None:
        self.next_end_ns: int | None = None  # if nobody joins or leaves before
        self._now_ns = 0
        self._reached = 0  # grains that a flow of weight 1 without a limit has had so far
        self._level = 0  # grains a ns that it gets now
        self._open: list[tuple[int, int, FairFlow]] = []  # a heap: (finish, order, flow)
        self._open_weight = 0
        self._limited: list[FairFlow] = []  # whose limit binds first comes first
        self._rate = 0  # grains a ns of all together
        self._served = 0  # grains
        self._num_joined = 0

    def join(self, now_ns: int, flow: FairFlow) -> None:
        """A flow joins. Ends until then must have been taken (`advance`); who joins in the past,
        because its host was late, joins now: what was shared until now cannot be shared again.
        """
        self._progress(now_ns)
        self._num_joined += 1
        flow.order = self._num_joined
        if flow.limit is not None:
            insort(self._limited, flow, key=_threshold)
        else:
            flow.finish = self._reached + flow.grains // flow.weight
            heapq.heappush(self._open, (flow.finish, flow.order, flow))
            self._open_weight += flow.weight
        self._share()

    def leave(self, now_ns: int, flow: FairFlow) -> None:
        """A flow leaves before its end and keeps what it has had; after it, nothing happens."""
        if flow.gone:
            return
        self._progress(now_ns)
        self._remove(flow)
        self._share()

    def advance(self, now_ns: int) -> list[FairFlow]:
        """Go on to `now_ns`; returns the flows that ended, in order of ends, then of joining."""
        ended: list[FairFlow] = []
        while self.next_end_ns is not None and self.next_end_ns <= now_ns:
            self._progress(self.next_end_ns)
            ended += self._finish()
            self._share()
        self._progress(now_ns)
        return ended

    def busy_ns(self, now_ns: int) -> int:
        """Work done until now, as time of the whole resource."""
        more_ns = max(0, now_ns - self._now_ns)
        return (self._served + min(self._rate, GRAINS) * more_ns) // GRAINS

    def _progress(self, to_ns: int) -> None:
        past_ns = to_ns - self._now_ns
        if past_ns <= 0:
            return
        assert self.next_end_ns is None or to_ns <= self.next_end_ns, "an end was passed over"
        self._now_ns = to_ns
        self._reached += self._level * past_ns
        self._served += min(self._rate, GRAINS) * past_ns
        for flow in self._limited:
            flow.grains -= flow.rate * past_ns

    def _finish(self) -> list[FairFlow]:
        """Take out what has been served, and correct `_served` by what its last ns had too much."""
        done: list[FairFlow] = []
        while self._open and (self._open[0][2].gone or self._open[0][0] <= self._reached):
            flow = heapq.heappop(self._open)[2]
            if not flow.gone:
                self._served -= (self._reached - flow.finish) * flow.weight
                done.append(flow)
        for flow in self._limited:
            if flow.grains <= 0:
                self._served += flow.grains
                done.append(flow)
        for flow in done:
            flow.end_ns = self._now_ns
            self._remove(flow)
        if len(done) > 1:
            done.sort(key=_order)
        return done

    def _remove(self, flow: FairFlow) -> None:
        flow.gone = True
        if flow.limit is not None:
            self._limited.remove(flow)
        else:
            self._open_weight -= flow.weight
            if not self._open_weight:
                self._open.clear()
                self._reached = 0

    def _share(self) -> None:
        """Fill up: flows at their limits first, the lowest first; the rest is shared by weight."""
        left, weight, limited = GRAINS, self._open_weight, self._limited
        if not limited:
            self._level = level = -(-left // weight) if weight else 0
            self._rate = level * weight
            self._name_next_end()
            return
        num_bound = 0
        weight += sum(flow.weight for flow in limited)
        for flow in limited:
            limit = flow.limit or 0
            if limit * weight > left * flow.weight:
                break
            flow.rate = limit
            left -= limit
            weight -= flow.weight
            num_bound += 1
        self._level = level = -(-left // weight) if weight else 0
        self._rate = GRAINS - left + level * weight
        for flow in limited[num_bound:]:
            flow.rate = level * flow.weight
        self._name_next_end()

    def _name_next_end(self) -> None:
        heap = self._open
        while heap and heap[0][2].gone:
            heapq.heappop(heap)
        next_ns = None
        if heap:
            next_ns = self._now_ns - (self._reached - heap[0][0]) // self._level
        for flow in self._limited:
            end_ns = self._now_ns - -flow.grains // flow.rate
            if next_ns is None or end_ns < next_ns:
                next_ns = end_ns
        self.next_end_ns = next_ns


def _threshold(flow: FairFlow) -> int:
    """The level at which a flow's limit begins to bind."""
    return (flow.limit or 0) * GRAINS // flow.weight


def _order(flow: FairFlow) -> int:
    return flow.order

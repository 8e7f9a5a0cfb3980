"""Progressive filling (Bertsekas and Gallager, Data Networks, 2nd ed., 6.5.2) of some flows, while
all others keep their rates.

A share is max-min fair just if each flow is at its limit, or crosses a resource that is full and on
which nobody of its weight has more. So some flows may be filled alone, and then it is looked at
whether that still holds for the others that they meet (`paths`).
"""

import heapq
from collections.abc import Collection, Iterable, Mapping

from workers.hardware.sharing.hops import Hop, PathFlow

# Shares that differ by no more than this many grains a ns are one: each is rounded by less than the
# number of flows on a resource. It is 3e-11 of a unit a second.
ROUNDING = 1 << 12


class Load:
    """What a resource has for the flows that are filled.

    left     grains a ns that nobody has
    weight   of those that still grow
    held     the level at which it became full and stopped some; None: it stopped nobody
    top      the highest level of those filled
    """

    __slots__ = ("flows", "held", "left", "top", "weight")

    def __init__(self, left: int) -> None:
        self.left, self.weight = left, 0
        self.flows: list[PathFlow] = []
        self.held: int | None = None
        self.top = 0


def fill(flows: Collection[PathFlow]) -> dict[Hop, Load]:
    """Give each its `new_rate` and `new_held_by`; returns what became of the resources."""
    loads: dict[Hop, Load] = {}
    for flow in flows:
        flow.new_rate = -1
        for hop in flow.hops:
            load = loads.get(hop)
            if load is None:
                loads[hop] = load = Load(hop.rate - hop.used)
            load.left += flow.rate
            load.weight += flow.weight
            load.flows.append(flow)
    _grow(flows, loads)
    return loads


def _grow(flows: Iterable[PathFlow], loads: Mapping[Hop, Load]) -> None:
    """Levels only rise while others stop, so one that was too low when it was written down shows
    when its turn comes.
    """
    limited = [f for f in flows if f.limit is not None]
    limited.sort(key=_threshold, reverse=True)
    heap = [
        (-(-load.left // load.weight), i, hop, load)
        for i, (hop, load) in enumerate(loads.items())
        if load.weight
    ]
    heapq.heapify(heap)
    while heap:
        level, i, hop, load = heap[0]
        if not load.weight:
            heapq.heappop(heap)
            continue
        now = -(-load.left // load.weight)
        if now > level:
            heapq.heapreplace(heap, (now, i, hop, load))
            continue
        level = max(0, level)
        if limited and _threshold(limited[-1]) <= level:
            flow = limited.pop()
            if flow.new_rate < 0:
                assert flow.limit is not None, "those alone are here"
                _stop(flow, flow.limit, None, loads)
            continue
        heapq.heappop(heap)
        load.held = level
        for flow in load.flows:
            if flow.new_rate < 0:
                _stop(flow, level * flow.weight, hop, loads)


def _stop(flow: PathFlow, rate: int, held_by: Hop | None, loads: Mapping[Hop, Load]) -> None:
    flow.new_rate, flow.new_held_by = rate, held_by
    weight = flow.weight
    level = rate if weight == 1 else rate // weight
    for hop in flow.hops:
        load = loads[hop]
        load.left -= rate
        load.weight -= weight
        if level > load.top:
            load.top = level


def _threshold(flow: PathFlow) -> int:
    """The level at which a flow's limit binds."""
    return (flow.limit or 0) // flow.weight


def by_rank(flows: Mapping[int, PathFlow]) -> dict[Hop, Load]:
    """All that meet, those of the lowest rank first: the next have what is left to them."""
    loads: dict[Hop, Load] = {}
    for flow in flows.values():
        flow.new_rate = -1
        for hop in flow.hops:
            if hop not in loads:
                loads[hop] = Load(hop.rate)
    for rank in sorted({flow.rank for flow in flows.values()}):
        those = [flow for flow in flows.values() if flow.rank == rank]
        for load in loads.values():
            load.flows = []
        for flow in those:
            for hop in flow.hops:
                loads[hop].weight += flow.weight
                loads[hop].flows.append(flow)
        _grow(those, loads)
    return loads


def holds_elsewhere(
    flow: PathFlow, lost: Hop, changing: Collection[Hop] | Mapping[Hop, Load] = ()
) -> bool:
    """Whether another resource, of those that are not changing, holds it back as well, at the rate
    that it has. It is what holds it from then on.
    """
    if flow.limit is not None and flow.rate >= flow.limit:
        return True
    for hop in flow.hops:
        if hop is lost or hop in changing or hop.rate - hop.used > ROUNDING:
            continue
        if not hop.is_known:
            hop.top = max(other.level for other in hop.flows.values())
            hop.is_known = True
        if hop.top <= flow.level + ROUNDING:
            flow.held_by = hop
            return True
    return False

"""When faults of nodes happen that wait for a time, and not for an event."""

import math
from collections.abc import Sequence

from configs.schema.faults import AtRandom, NodeFault
from workers.host.rng import Rng

SECOND_NS = 1_000_000_000


def instants_of(name: str, fault: NodeFault, rng: Rng) -> Sequence[int]:
    """In emulated time, in order; empty where it waits for an event. A function of seed and name
    alone, so that what else goes wrong moves none of them.
    """
    if fault.random is not None:
        return _drawn(name, fault.random, rng)
    if fault.event is not None or fault.transfer is not None:
        return ()
    return (fault.start_ns or 0,)


def _drawn(name: str, when: AtRandom, rng: Rng) -> Sequence[int]:
    if when.count is not None:
        draws = (rng.uniform("fault at", name, number) for number in range(when.count))
        return sorted(int(share * when.within_ns) for share in draws)
    assert when.rate_per_s is not None, "the schema says how often"
    found: list[int] = []
    at_ns, gap_ns = 0.0, SECOND_NS / when.rate_per_s
    while True:
        at_ns -= gap_ns * math.log1p(-rng.uniform("fault gap", name, len(found)))
        if at_ns >= when.within_ns:
            return found
        found.append(int(at_ns))

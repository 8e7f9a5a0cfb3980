"""A queue of so many places, page by page: what `sharing.depth` is compared with."""

import heapq
from fractions import Fraction


def simulated(
    asked: list[tuple[int, int]], depth: int, turn_ns: Fraction, latency_ns: int
) -> list[Fraction]:
    """Ends of (at, pages). A page takes the place that is free first, is ready a latency later, and
    goes over the bus in its order; its place is free when all of it is there.
    """
    places = [Fraction(0)] * depth
    bus, ends = Fraction(0), []
    for at_ns, pages in asked:
        end = Fraction(at_ns) + latency_ns * (not pages)
        for _ in range(pages):
            begin = max(Fraction(at_ns), heapq.heappop(places))
            bus = end = max(begin + latency_ns, bus) + turn_ns
            heapq.heappush(places, end)
        ends.append(end)
    return ends

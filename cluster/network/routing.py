"""Shortest ways through a graph: which there are, and in which order a pair tries them.

Deterministic routing takes the first. Through switches the order is turned by a hash of the pair,
so pairs spread over paths of the same length, as up and down a fat tree (ECMP hashing, RFC 2992);
through a torus it begins with the e-cube route.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from zlib import crc32

from cluster.network.graph import Graph, Hop

# Of paths of the same length a pair has so many to choose from.
PATHS_MAX = 16


class Shortest:
    """Paths that cost least between a graph's vertices: mostly those of fewest hops."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._out: dict[str, list[Hop]] = {}
        self._into: dict[str, list[Hop]] = {}
        for hop in graph.hops.values():
            self._out.setdefault(hop.source, []).append(hop)
            self._into.setdefault(hop.target, []).append(hop)
        self._far: dict[str, dict[str, int]] = {}  # target -> vertex -> cost from it

    def distances(self, target: str) -> dict[str, int]:
        """Vertex -> cost from there to the target; those that cannot reach it are left out."""
        known = self._far.get(target)
        if known is not None:
            return known
        far, waiting = {target: 0}, [(0, target)]
        while waiting:
            cost, vertex = heappop(waiting)
            if cost > far[vertex] or (vertex != target and not self._graph.passes(vertex)):
                continue  # known as nearer; or it can send, and passes nothing on
            for hop in self._into.get(vertex, ()):
                by_here = cost + hop.cost
                if by_here < far.get(hop.source, by_here + 1):
                    far[hop.source] = by_here
                    heappush(waiting, (by_here, hop.source))
        self._far[target] = far
        return far

    def paths(self, source: str, target: str, turn: int, most: int) -> list[tuple[Hop, ...]]:
        """At most so many; none where there is no way. `turn`: which of equal ones comes first."""
        if source not in self.distances(target):
            return []
        found = list[tuple[Hop, ...]]()
        for path in self._walk(source, target, turn):
            found.append(path)
            if len(found) == most:
                break
        return found

    def _walk(self, source: str, target: str, turn: int) -> Iterator[tuple[Hop, ...]]:
        if source == target:
            yield ()
            return
        far = self.distances(target)
        nearer = [
            hop
            for hop in self._out.get(source, ())
            if far.get(hop.target) == far[source] - hop.cost
            and (hop.target == target or self._graph.passes(hop.target))
        ]
        first, rest = turn % len(nearer), turn // len(nearer)
        for hop in (*nearer[first:], *nearer[:first]):
            for path in self._walk(hop.target, target, rest):
                yield (hop, *path)


def turn_of(source: str, target: str) -> int:
    """A number of a pair, the same in every process."""
    return crc32(f"{source}>{target}".encode())


def hops_between(graph: Graph, vertices: Sequence[str]) -> tuple[Hop, ...]:
    """The hops of a walk along these."""
    return tuple(graph.hops[f"{source}>{target}"] for source, target in pairwise(vertices))

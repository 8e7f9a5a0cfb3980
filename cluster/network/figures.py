"""What a network is like: lengths of its ways, and what crosses its middle. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.network.build import Network
from cluster.network.graph import Graph

# Ways are measured from so many nodes, and the middle of so many hops: more take minutes.
NODES_MOST = 64
HOPS_MOST = 20_000


@dataclass(frozen=True, slots=True)
class Figures:
    """num_hops, num_switches   directed inner links, and switches
    mean_hops, most_hops   inner links of a way, over pairs of nodes; the most is the diameter
    least_ns, most_ns      latency of a way, the nodes' own links left out
    across_bytes_per_s     what inner links and switches move from the first half of the nodes to
                           the second; None: as much as the nodes' own links, or not looked at
    """

    num_hops: int
    num_switches: int
    mean_hops: float
    most_hops: int
    least_ns: int
    most_ns: int
    across_bytes_per_s: int | None


def figures_of(network: Network) -> Figures:
    nodes = list(network.graph.ports)
    pairs = [(a, b) for a in nodes[:NODES_MOST] for b in nodes if a != b]
    hops = [len(network.paths(a, b)[0]) for a, b in pairs] or [0]
    latency_ns = [network.between(a, b)[0].latency_ns for a, b in pairs] or [0]
    half, across = (len(nodes) + 1) // 2, None
    if len(network.graph.hops) <= HOPS_MOST:
        narrow = network.section.switch_bytes_per_s
        across = across_bytes_per_s(network.graph, nodes[:half], nodes[half:], narrow)
    return Figures(
        len(network.graph.hops),
        len(network.graph.switches),
        sum(hops) / len(hops),
        max(hops),
        min(latency_ns),
        max(latency_ns),
        across,
    )


def across_bytes_per_s(
    graph: Graph, left: Sequence[str], right: Sequence[str], switch_bytes_per_s: int | None = None
) -> int | None:
    """The most that flows from some nodes to others over inner links: a maximum flow (Edmonds and
    Karp, J. ACM 19, 1972). None where some of both meet at one switch of any bandwidth.
    """
    room: dict[str, dict[str, int]] = {}
    wide = 1 + sum(hop.bytes_per_s for hop in graph.hops.values()) + (switch_bytes_per_s or 0)

    def join(source: str, target: str, bytes_per_s: int) -> None:
        room.setdefault(source, {}).setdefault(target, 0)
        room.setdefault(target, {}).setdefault(source, 0)
        room[source][target] += bytes_per_s

    for switch in graph.switches:
        join(f"{switch}<", f"{switch}>", switch_bytes_per_s or wide)
    ins = {vertex: f"{vertex}<" for vertex in graph.switches}
    outs = {vertex: f"{vertex}>" for vertex in graph.switches}
    for hop in graph.hops.values():
        join(outs.get(hop.source, hop.source), ins.get(hop.target, hop.target), hop.bytes_per_s)
    for node in left:
        join("", ins.get(graph.ports[node], graph.ports[node]), wide)
    for node in right:
        join(outs.get(graph.ports[node], graph.ports[node]), " ", wide)
    total = 0
    while path := _widening(room):
        most = min(room[a][b] for a, b in path)
        if most == wide:
            return None
        for a, b in path:
            room[a][b] -= most
            room[b][a] += most
        total += most
    return total


def _widening(room: dict[str, dict[str, int]]) -> list[tuple[str, str]]:
    """A shortest way from "" to " " on which something more fits; none where there is no more."""
    came = {"": ""}
    waiting = deque([""])
    while waiting:
        vertex = waiting.popleft()
        for target, left in room.get(vertex, {}).items():
            if left > 0 and target not in came:
                came[target] = vertex
                waiting.append(target)
    path, vertex = list[tuple[str, str]](), " "
    while vertex and vertex in came:
        path.append((came[vertex], vertex))
        vertex = came[vertex]
    return path

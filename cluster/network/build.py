"""From what a scenario says to a network that knows its routes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from cluster.network.dragonfly import Sizes, balanced, dragonfly
from cluster.network.errors import NetworkProblem
from cluster.network.given import direct, given
from cluster.network.graph import Graph, Hop
from cluster.network.routing import PATHS_MAX, Shortest, hops_between, turn_of
from cluster.network.switched import fat_tree, one_switch, rails
from cluster.network.switches import with_workers
from cluster.network.torus import Torus
from configs.schema.cluster import ClusterSection
from configs.schema.network import NetworkSection
from workers.wire.fabric.route import Route


def longest_ns(section: NetworkSection | None, num_nodes: int) -> int:
    """No message's way through it takes longer, alone: it passes no vertex twice."""
    if section is None:
        return 0
    # A fat tree's, a dragonfly's and the rails' ways pass fewer switches than 6.
    vertices = num_nodes + len(section.switches) + prod(section.dims or ()) + 6
    links = [section.link, section.global_link, section.server_link]
    own_ns = [link.latency_ns for link in links if link is not None]
    own_ns += [link.latency_ns or 0 for link in section.links]
    latency_ns = max(own_ns, default=0)
    return vertices * (latency_ns + section.switch_latency_ns)


class Network:
    """A graph and the ways through it (`Routes`)."""

    def __init__(self, section: NetworkSection, graph: Graph, torus: Torus | None = None) -> None:
        """Raises NetworkProblem where a switch goes by a node's name."""
        if taken := [name for name in graph.switches if name in graph.ports]:
            raise NetworkProblem(
                f"type: a {section.type} has a switch {taken[0]!r}, and so is a node called: "
                "rename its group"
            )
        self.section, self.graph = section, graph
        self.torus, self._shortest = torus, Shortest(graph)
        self._known: dict[tuple[str, str], tuple[Route, ...]] = {}
        self._latency_ns: dict[tuple[str, str, bool, bool], int] = {}
        self.rates = {name: hop.bytes_per_s for name, hop in graph.hops.items()}
        if section.switch_bytes_per_s is not None:
            self.rates |= dict.fromkeys(graph.switches, section.switch_bytes_per_s)

    def between(self, source: str, destination: str) -> tuple[Route, ...]:
        known = self._known.get((source, destination))
        if known is None:
            known = self._known[source, destination] = tuple(
                self._route(source, destination, hops) for hops in self.paths(source, destination)
            )
        assert known, f"nothing leads from {source} to {destination}: the scenario was checked"
        return known

    def latency_ns(self, source: str, destination: str) -> int:
        """Of nodes at the same two ports it is the same: whole clusters ask, pair by pair."""
        ports, servers = self.graph.ports, self.graph.servers
        server = servers.get(source)
        together = server is not None and server == servers.get(destination)
        key = ports[source], ports[destination], together, source in self.graph.workers
        known = self._latency_ns.get(key)
        if known is None:
            route = self._route(source, destination, self.paths(source, destination, 1)[0])
            known = self._latency_ns[key] = route.latency_ns
        return known

    def paths(
        self, source: str, destination: str, most: int | None = None
    ) -> list[tuple[Hop, ...]]:
        """Inner hops of each way, at most so many; none where there is no way."""
        graph = self.graph
        if most is None:
            most = PATHS_MAX if self.section.routing == "adaptive" else 1
        if self.torus is not None:
            walks = self.torus.routes(source, destination)
            return [hops_between(graph, walk) for walk, _ in zip(walks, range(most), strict=False)]
        server = graph.servers.get(source)
        if server is not None and server == graph.servers.get(destination):
            return [hops_between(graph, (source, server, destination))]
        ends = graph.ports[source], graph.ports[destination]
        return self._shortest.paths(*ends, turn_of(source, destination), most)

    def _route(self, source: str, destination: str, hops: Sequence[Hop]) -> Route:
        """Switches on the way cost their latency, and may be narrow themselves. What a switch sends
        by itself is past its own.
        """
        section, graph = self.section, self.graph
        begin = hops[0].source if hops else graph.ports[source]
        own = graph.ports[source] if source in graph.workers else ""
        names, waits_ns, at_ns = list[str](), list[int](), 0
        for vertex, hop in zip((begin, *(hop.target for hop in hops)), (*hops, None), strict=True):
            if vertex not in (source, destination):
                if vertex in self.rates:
                    names.append(vertex)
                    waits_ns.append(at_ns)
                if vertex != own:
                    at_ns += section.switch_latency_ns
            if hop is not None:
                names.append(hop.name)
                waits_ns.append(at_ns)
                at_ns += hop.latency_ns
        joules = sum(hop.joules_per_byte for hop in hops)
        by_own_links = source not in graph.servers or begin != source
        at_switch = source in graph.workers or destination in graph.workers
        return Route(tuple(names), tuple(waits_ns), at_ns, joules, by_own_links, at_switch)


def make_network(section: NetworkSection, cluster: ClusterSection) -> Network:
    """Raises NetworkProblem for what cannot be."""
    groups = {
        name: group.node_names(name) for name, group in cluster.nodes.items() if not group.is_switch
    }
    nodes = [node for members in groups.values() for node in members]
    if section.type == "torus":
        assert section.link is not None, "the schema asks for it"
        torus = Torus(nodes, section.link, section.dims)
        return Network(section, with_workers(torus.graph, section.type, cluster), torus)
    graph = _graph(section, nodes, groups)
    return Network(section, with_workers(graph, section.type, cluster))


def _graph(
    section: NetworkSection, nodes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> Graph:
    if section.type == "switch":
        return one_switch(nodes, section.ports)
    link = section.link
    assert link is not None, "the schema asks for it"
    if section.type == "fat_tree":
        return fat_tree(nodes, link, section.arity, section.levels)
    if section.type == "rail_optimised":
        assert section.server is not None, "the schema asks for it"
        return rails(nodes, link, section.server, section.server_link, section.spines)
    if section.type == "dragonfly":
        return dragonfly(nodes, link, section.global_link, _sizes(section, len(nodes)))
    if section.type == "direct":
        return direct(nodes, link)
    return given(
        nodes, groups, link, section.switches, section.links, nodes_forward=section.nodes_forward
    )


def _sizes(section: NetworkSection, num_nodes: int) -> Sizes:
    """What is not given by hand is as in the smallest balanced one."""
    hosts, routers, links = section.hosts, section.routers, section.global_links
    sizes = balanced(num_nodes)
    sizes = replace(
        sizes,
        hosts=sizes.hosts if hosts is None else hosts,
        routers=sizes.routers if routers is None else routers,
        global_links=sizes.global_links if links is None else links,
    )
    needed = -(-num_nodes // (sizes.hosts * sizes.routers))
    most = sizes.routers * sizes.global_links + 1
    return replace(sizes, groups=min(needed, most) if section.groups is None else section.groups)


def check_connected(network: Network, nodes: Sequence[str]) -> None:
    """Raises NetworkProblem for the first two nodes without a way from one to the other: any two
    may have to talk.
    """
    cut = [
        (source, target)
        for source in nodes
        for target in nodes
        if source != target and not network.paths(source, target)
    ]
    if cut:
        source, target = cut[0]
        raise NetworkProblem(
            f"links: nothing leads from {source} to {target}, and from {len(cut)} of "
            f"{len(nodes) * (len(nodes) - 1)} pairs of nodes: any two of them talk; give a link "
            f"{{from: {source}, to: {target}}}, or let nodes_forward be true where nodes pass "
            "messages on"
        )

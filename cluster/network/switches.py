"""Switches that are nodes as well, as they work on what crosses them: where they stand."""

from dataclasses import replace

from cluster.network.errors import NodeProblem
from cluster.network.graph import Graph
from configs.nearest import nearest
from configs.schema.cluster import ClusterSection
from configs.schema.nodes import NodeGroup


def with_workers(graph: Graph, topology: str, cluster: ClusterSection) -> Graph:
    """The same with nodes of `workers: [switch]` at their switches. Raises NodeProblem."""
    ports = {
        node: _switch(name, group, graph, topology)
        for name, group in cluster.nodes.items()
        if group.is_switch
        for node in group.node_names(name)
    }
    return replace(graph, ports={**graph.ports, **ports}, workers=frozenset(ports))


def _switch(name: str, group: NodeGroup, graph: Graph, topology: str) -> str:
    """Which of the topology's it is."""
    # What is within a server is reached from there alone, and nodes of others talk as well.
    known = [switch for switch in graph.switches if switch not in graph.servers.values()]
    if topology == "torus" or not known:
        raise NodeProblem(
            f"{name}.workers: names switch, and a {topology} network has none: use a type that "
            "has, as switch, or leave the group out"
        )
    if group.at is None:
        if len(known) > 1:
            raise NodeProblem(
                f"{name}.at: is missing, and the network has {len(known)} switches: say which, as "
                f"at: {known[0]}"
            )
        return known[0]
    if group.at not in known:
        raise NodeProblem(
            f"{name}.at: no switch that all nodes reach is called {group.at!r}: "
            f"{nearest(group.at, known)}"
        )
    return group.at

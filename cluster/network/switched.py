"""Topologies of switches: one, a fat tree, rails."""

from collections.abc import Sequence

from cluster.network.errors import TooSmall
from cluster.network.graph import Graph, Hops
from configs.schema.link import LinkSpec

ARITY_MAX = 128
SWITCH = "switch"


def one_switch(nodes: Sequence[str], ports: int | None) -> Graph:
    """All nodes at one. Raises TooSmall."""
    if ports is not None and ports < len(nodes):
        raise TooSmall("ports", ports, f"{ports} ports", len(nodes), f"ports: {len(nodes)}")
    return Graph(dict.fromkeys(nodes, SWITCH), {}, (SWITCH,))


def fat_tree_ports(arity: int, levels: int) -> int:
    """Nodes of a k-ary tree: k^3 / 4 on three levels (Al-Fares et al., SIGCOMM 2008), k^2 / 2 on
    two.
    """
    return arity**3 // 4 if levels == 3 else arity**2 // 2


def fat_tree(nodes: Sequence[str], link: LinkSpec, arity: int | None, levels: int) -> Graph:
    """Switches of `arity` ports, half of them up: no oversubscription. Pods without a node are
    left out.

    levels 2   leaf-i: arity/2 nodes each; spine-j joins all leaves
    levels 3   pod p: edge-p-e with arity/2 nodes, agg-p-a above them all; core-c above agg-p-a,
               with c = a x arity/2 + j

    Raises TooSmall.
    """
    wanted = next(
        (k for k in range(2, ARITY_MAX + 1, 2) if fat_tree_ports(k, levels) >= len(nodes)),
        ARITY_MAX,
    )
    k = wanted if arity is None else arity
    if (has := fat_tree_ports(k, levels)) < len(nodes):
        text = f"a tree of {levels} levels with {has} ports"
        would = f"arity: {wanted}"
        if fat_tree_ports(wanted, levels) < len(nodes):
            would = "levels: 3" if levels == 2 else "type: switch"
        raise TooSmall("arity", k, text, len(nodes), would)
    half, hops = k // 2, Hops(link)
    switches = list[str]()
    if levels == 2:
        leaves = [f"leaf-{i}" for i in range(-(-len(nodes) // half))]
        spines = [f"spine-{j}" for j in range(half)]
        for leaf in leaves:
            for spine in spines:
                hops.join(leaf, spine)
        ports = {node: leaves[i // half] for i, node in enumerate(nodes)}
        return Graph(ports, hops.by_name, (*leaves, *spines))
    for pod in range(-(-len(nodes) // (half * half))):
        edges = [f"edge-{pod}-{e}" for e in range(half)]
        aggs = [f"agg-{pod}-{a}" for a in range(half)]
        switches += [*edges, *aggs]
        for edge in edges:
            for agg in aggs:
                hops.join(edge, agg)
        for a, agg in enumerate(aggs):
            for j in range(half):
                hops.join(agg, f"core-{a * half + j}")
    switches += [f"core-{c}" for c in range(half * half)]
    ports = {node: f"edge-{i // (half * half)}-{i // half % half}" for i, node in enumerate(nodes)}
    return Graph(ports, hops.by_name, tuple(switches))


def rails(
    nodes: Sequence[str], link: LinkSpec, server: int, server_link: LinkSpec | None, spines: int
) -> Graph:
    """Servers of `server` nodes each; number r of each server is on rail-r, and spines join the
    rails (NVIDIA's DGX SuperPOD reference architecture). Within a server nodes meet at its own
    switch, over `server_link`.
    """
    hops, servers = Hops(link), dict[str, str]()
    for i, node in enumerate(nodes):
        servers[node] = f"server-{i // server}"
        hops.join(node, servers[node], server_link)
    num_rails = min(server, len(nodes))
    for rail in range(num_rails):
        for spine in range(spines):
            hops.join(f"rail-{rail}", f"spine-{spine}")
    switches = (
        *dict.fromkeys(servers.values()),
        *(f"rail-{rail}" for rail in range(num_rails)),
        *(f"spine-{spine}" for spine in range(spines)),
    )
    ports = {node: f"rail-{i % server}" for i, node in enumerate(nodes)}
    return Graph(ports, hops.by_name, switches, servers=servers)

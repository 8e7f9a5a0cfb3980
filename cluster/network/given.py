"""Graphs without switches of their own making: every pair joined, or links as the scenario says."""

from collections.abc import Mapping, Sequence

from cluster.network.errors import NetworkProblem, TooSmall
from cluster.network.graph import Graph, Hops
from configs.nearest import nearest
from configs.schema.link import LinkSpec
from configs.schema.network import GivenLink

# So many nodes have a million links each way: beyond, nobody means it.
DIRECT_MAX = 1_024


def direct(nodes: Sequence[str], link: LinkSpec) -> Graph:
    """A link between any two. Raises TooSmall for more than DIRECT_MAX."""
    if len(nodes) > DIRECT_MAX:
        text = f"a link a pair, for at most {DIRECT_MAX} nodes"
        raise TooSmall("type", "direct", text, len(nodes), "type: switch")
    hops = Hops(link)
    for source in nodes:
        for target in nodes:
            if source != target:
                hops.add(source, target)
    return Graph({node: node for node in nodes}, hops.by_name)


def given(
    nodes: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    link: LinkSpec,
    switches: Sequence[str],
    links: Sequence[GivenLink],
    *,
    nodes_forward: bool,
) -> Graph:
    """The scenario's own. Raises NetworkProblem for names that are nothing in it, or two things."""
    twice = sorted({name for name in switches if switches.count(name) > 1})
    if twice:
        raise NetworkProblem(f"switches: names {', '.join(twice)} twice: each is one switch")
    known: dict[str, tuple[str, ...]] = {
        **{name: tuple(members) for name, members in groups.items()},
        **{node: (node,) for node in nodes},
    }
    for i, name in enumerate(switches):
        if name in known:
            raise NetworkProblem(f"switches.{i}: {name!r} is a node or a group: rename the switch")
        known[name] = (name,)
    hops = Hops(link)
    for i, one in enumerate(links):
        ends = []
        for key, name in (("from", one.source), ("to", one.target)):
            if name not in known:
                raise NetworkProblem(
                    f"links.{i}.{key}: no switch, node or group is called {name!r}: "
                    f"{nearest(name, list(known))}"
                )
            ends.append(known[name])
        if ends[0] == ends[1] and len(ends[0]) == 1:
            raise NetworkProblem(
                f"links.{i}: leads from {one.source} to itself: give it another end, or "
                "leave it out"
            )
        for source in ends[0]:
            for target in ends[1]:
                if source == target:
                    continue
                hops.add(source, target, None, one.latency_ns, one.bytes_per_s)
                if not one.one_way:
                    hops.add(target, source, None, one.latency_ns, one.bytes_per_s)
    ports = {node: node for node in nodes}
    return Graph(ports, hops.by_name, tuple(switches), forwards=nodes_forward)

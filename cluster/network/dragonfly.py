"""Groups of routers, all joined within a group, and every group joined to every other.

Kim, Dally, Scott and Abts, "Technology-driven, highly-scalable dragonfly topology", ISCA 2008:
p nodes and h global links a router, a routers a group, g groups, at most a h + 1; balanced is
a = 2 p = 2 h.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.network.errors import NetworkProblem, TooSmall
from cluster.network.graph import LINKS_MOST, Graph, Hops
from configs.schema.link import LinkSpec

# A minimal way crosses one global link at most: local, global, local costs less than two of them.
_GLOBAL_COST = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """hosts p, routers a, global_links h, groups g."""

    hosts: int
    routers: int
    global_links: int
    groups: int

    @property
    def ports(self) -> int:
        return self.hosts * self.routers * self.groups


def balanced(num_nodes: int) -> Sizes:
    """The smallest balanced one with so many ports."""
    h = 1
    while Sizes(h, 2 * h, h, 2 * h * h + 1).ports < num_nodes:
        h += 1
    return Sizes(h, 2 * h, h, 2 * h * h + 1)


def dragonfly(
    nodes: Sequence[str], link: LinkSpec, global_link: LinkSpec | None, sizes: Sizes
) -> Graph:
    """router-g-r. Port q of a group's a h global ones goes to the group q + 1 further on, so that
    any two have a link; where there are fewer groups, whole rounds of ports give them several.

    Raises TooSmall, or NetworkProblem where groups cannot all be joined.
    """
    a, h, g = sizes.routers, sizes.global_links, sizes.groups
    if sizes.ports < len(nodes):
        would = balanced(len(nodes))
        raise TooSmall(
            "groups",
            g,
            f"{sizes.ports} ports ({g} groups x {a} routers x {sizes.hosts} hosts)",
            len(nodes),
            f"groups: {would.groups}, routers: {would.routers}, hosts: {would.hosts}, "
            f"global_links: {would.global_links}",
        )
    if g > a * h + 1:
        raise NetworkProblem(
            f"groups: is {g}: {a} routers with {h} global links each join a group to {a * h} "
            f"others: at most {a * h + 1} groups, or global_links: {-(-(g - 1) // a)}"
        )
    if g * a > LINKS_MOST:
        raise NetworkProblem(
            f"groups: is {g}, of {a} routers each: at most {LINKS_MOST:,} routers can be: give "
            "fewer"
        )
    hops = Hops(link)
    routers = [[f"router-{group}-{r}" for r in range(a)] for group in range(g)]
    for group in routers:
        for i, one in enumerate(group):
            for other in group[i + 1 :]:
                hops.join(one, other)
    _join_groups(hops, routers, global_link, h)
    ports = {}
    for i, node in enumerate(nodes):
        router = i // sizes.hosts
        ports[node] = routers[router // a][router % a]
    return Graph(ports, hops.by_name, tuple(router for group in routers for router in group))


def _join_groups(
    hops: Hops, routers: Sequence[Sequence[str]], global_link: LinkSpec | None, h: int
) -> None:
    g, a = len(routers), len(routers[0])
    others = g - 1
    for q in range(a * h // others * others if others else 0):
        turn, offset = divmod(q, others)
        back = turn * others + others - 1 - offset
        for number in range(g):
            target = (number + offset + 1) % g
            ends = routers[number][q // h], routers[target][back // h]
            hops.add(*ends, global_link, cost=_GLOBAL_COST)

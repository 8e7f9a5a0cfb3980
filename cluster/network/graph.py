"""A topology as a graph: directed hops between vertices, which are switches and nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.network.errors import NetworkProblem
from configs.schema.link import LinkSpec

# One way each, of a whole network: beyond, the graph alone takes minutes and gigabytes.
LINKS_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Hop:
    """One direction of an inner link.

    cost   what it counts on a way: ways are those that cost least
    """

    name: str
    source: str
    target: str
    latency_ns: int
    bytes_per_s: int
    joules_per_byte: float
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Graph:
    """ports      node -> the vertex at which its own link ends: a switch, or the node itself
    hops       by name
    switches   those that are no node
    forwards   whether nodes pass on what is for others
    servers    node -> the switch of its server: two of one server meet there, not over their own
               links (rail-optimised)
    workers    nodes that are switches themselves: their ports are what they are
    """

    ports: Mapping[str, str]
    hops: Mapping[str, Hop]
    switches: tuple[str, ...] = ()
    forwards: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)
    workers: frozenset[str] = frozenset()

    def passes(self, vertex: str) -> bool:
        """Whether what is for others may go through it."""
        return self.forwards or vertex not in self.ports


class Hops:
    """Hops of a graph that is being built."""

    def __init__(self, link: LinkSpec) -> None:
        self._link = link
        self.by_name: dict[str, Hop] = {}

    def add(
        self,
        source: str,
        target: str,
        link: LinkSpec | None = None,
        latency_ns: int | None = None,
        bytes_per_s: int | None = None,
        cost: int = 1,
    ) -> str:
        """One direction; a second one between the same vertices has a number. Returns its name.
        Raises NetworkProblem for more than LINKS_MOST.
        """
        if len(self.by_name) == LINKS_MOST:
            raise NetworkProblem(
                f"type: its sizes make more than {LINKS_MOST:,} links, one way each: give smaller "
                "ones"
            )
        spec = self._link if link is None else link
        name, number = f"{source}>{target}", 1
        while name in self.by_name:
            number += 1
            name = f"{source}>{target}#{number}"
        self.by_name[name] = Hop(
            name,
            source,
            target,
            spec.latency_ns if latency_ns is None else latency_ns,
            spec.bytes_per_s if bytes_per_s is None else bytes_per_s,
            spec.pj_per_bit * 8e-12,
            cost,
        )
        return name

    def join(self, one: str, other: str, link: LinkSpec | None = None) -> None:
        """Both directions."""
        self.add(one, other, link)
        self.add(other, one, link)

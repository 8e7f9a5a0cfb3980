"""The network of all nodes of one process: one table of its links, and who is on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema.link import LinkSpec
from configs.schema.network import NetworkSection
from kernels.paths import RATE_MAX
from workers.host.clock.base import Clock
from workers.wire.curve import PARTS_PER_BYTE, Curve, curve_of
from workers.wire.fabric.counts import NetworkCounts, WayCount, counts_of
from workers.wire.fabric.crossing import Crossing, Way, names_of
from workers.wire.fabric.route import Routes
from workers.wire.fabric.sharing import FairLinks, FifoLinks, LinkSharing
from workers.wire.fabric.traffic import CLASSES, class_of
from workers.wire.membership import Membership
from workers.wire.message import Message
from workers.wire.narrow import Narrow
from workers.wire.notes import Notes, Tell
from workers.wire.peer import Peer


class Fabric:
    """Nodes join it by their own links, and their endpoints send over it."""

    def __init__(
        self,
        section: NetworkSection,
        routes: Routes,
        clock: Clock,
        links: LinkSharing | None = None,
    ) -> None:
        """links: None: of this process alone."""
        self._routes, self._clock = routes, clock
        self.links = links or _links(section, clock)
        for name, bytes_per_s in routes.rates.items():
            self.links.add(name, bytes_per_s)
        self._is_adaptive = section.routing == "adaptive"
        given = [section.priority(traffic) for traffic in CLASSES]
        strict = section.strict
        self._weights = [1 if strict else priority for priority in given]
        self._ranks = [max(given) - priority if strict else 0 for priority in given]
        self._own: dict[str, LinkSpec] = {}
        self._curves: dict[str, Curve | None] = {}
        self._ways: dict[tuple[str, str], tuple[Way, ...]] = {}
        self._narrow: dict[str, tuple[Narrow, Narrow]] = {}
        # Of nodes in other processes: what rules narrow where messages arrive, for `faults.rules`.
        self.far_ends: dict[str, Narrow] = {}
        self._before_ns: dict[str, int] = {}  # own link -> busy before its node stood

    def join(self, node: str, link: LinkSpec, out: Narrow, into: Narrow) -> None:
        """A node stands, perhaps again: its own link, and what rules narrow at its two ends."""
        self._narrow[node] = out, into
        if node in self._own:
            now_ns = self._clock.now()
            self.links.go_on(now_ns)
            for name in (f"{node}.out", f"{node}.in"):
                self._before_ns[name] = self.links.busy_ns(name, now_ns)
        else:
            self._own[node], self._curves[node] = link, curve_of(link)
            self.links.add(f"{node}.out", link.bytes_per_s)
            self.links.add(f"{node}.in", link.bytes_per_s)

    def meet(self, notes: Notes, peers: Mapping[str, Peer], members: Membership) -> None:
        """Of a node that stands: how it speaks to others of links. In one process nobody need."""

    def busy_ns(self, own_link: str, now_ns: int) -> int:
        """Since its node stands: what earlier incarnations have asked for is theirs."""
        return self.links.busy_ns(own_link, now_ns) - self._before_ns.get(own_link, 0)

    def inner_ns(self, source: str, destination: str) -> int:
        """Latency of the network between the ends' own links, on the way to take first."""
        return 0 if source == destination else self._routes.latency_ns(source, destination)

    def send(
        self, message: Message[Any], node: str, peer: Peer, tell: Tell, now_ns: int
    ) -> Crossing:
        """A message leaves. Stamps `sent_ns`."""
        ways = self._ways.get((node, peer.node)) or self._find(node, peer)
        way = ways[0]
        if self._is_adaptive and len(ways) > 1:
            way = self._least_loaded(ways, now_ns)
        crossing = Crossing(message.message_id, peer, tell, way)
        traffic, num_bytes = class_of(message.content), message.charged_bytes
        charged = self._charged(num_bytes, node, peer)
        way.count.add(traffic, num_bytes, charged)
        names, waits_ns = way.names, way.waits_ns
        out, into = self._narrow[node][0], self._narrow[peer.node][1]
        if out.rules or into.rules:
            names, waits_ns = self._narrowed(way, node, peer.node, message)
        message.sent_ns = self.links.start_message(
            now_ns,
            charged,
            names,
            waits_ns,
            crossing,
            self._weights[traffic],
            self._ranks[traffic],
        )
        return crossing

    def _charged(self, num_bytes: int, node: str, peer: Peer) -> int:
        """What one end's link takes for a message beside its bytes, all links do."""
        own = self._curves[node]
        if own is None and peer.curve is None:
            return num_bytes
        parts = [curve.parts(num_bytes) for curve in (own, peer.curve) if curve is not None]
        return -(-max(parts) // PARTS_PER_BYTE)

    def _find(self, node: str, peer: Peer) -> tuple[Way, ...]:
        routes, own = self._routes.between(node, peer.node), self._own[node]
        out_ns = in_ns = max(own.latency_ns, peer.link.latency_ns)
        if routes[0].at_switch:  # each end has its own half
            out_ns, in_ns = own.latency_ns, peer.link.latency_ns
        ends_ns = own.startup_ns + out_ns // 2, in_ns - in_ns // 2
        names = f"{node}.out", f"{peer.node}.in"
        ways = tuple(Way(route, names, ends_ns) for route in routes)
        for way in ways:
            way.count = self._count_of(way, (node, peer.node))
        self._ways[node, peer.node] = ways
        return ways

    def _count_of(self, way: Way, pair: tuple[str, str]) -> WayCount:
        return WayCount()

    def _least_loaded(self, ways: Sequence[Way], now_ns: int) -> Way:
        """By the link that has most on it; of equal ones the first."""
        self.links.look(now_ns)
        load = self.links.load
        return min(ways, key=lambda way: max(load(name, now_ns) for name in way.names[1:-1]))

    def _narrowed(
        self, way: Way, node: str, other: str, message: Message[Any]
    ) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Rules that hit it are links more on its way."""
        found = list[list[str]]()
        for at, end in ((node, 0), (other, 1)):
            hit = [
                (name, rule)
                for name, rule in self._narrow[at][end].rules.items()
                if rule.hits(node, other, message)
            ]
            names = [f"{at}.{('out', 'in')[end]}.{name}@{rule.bytes_per_s}" for name, rule in hit]
            for name, (_, rule) in zip(names, hit, strict=True):
                if not self.links.knows(name):
                    # No link is wider (`cluster.network.problems`): beyond, it narrows nothing.
                    self.links.add(name, min(rule.bytes_per_s, RATE_MAX))
            found.append(names)
        out, into = found
        waits_ns = way.waits_ns
        waits_ns = (
            *waits_ns[:1], *waits_ns[:1] * len(out), *waits_ns[1:], *waits_ns[-1:] * len(into)
        )  # fmt: skip
        return names_of(way, out, into), waits_ns

    def counts(self) -> NetworkCounts:
        """Until now."""
        now_ns, ways = self._clock.now(), self._ways.items()
        counted = ((pair, way.names, way.count) for pair, several in ways for way in several)
        return counts_of(now_ns, counted, self.links)


def _links(section: NetworkSection, clock: Clock) -> LinkSharing:
    if section.sharing == "fifo":
        return FifoLinks(clock)
    return FairLinks(clock)

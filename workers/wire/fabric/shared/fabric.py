"""The network of nodes that are processes, as the one has it that stands in this process."""

import struct
from collections.abc import Mapping
from dataclasses import replace

from configs.schema.link import LinkSpec
from configs.schema.network import NetworkSection
from workers.host.clock.base import Clock
from workers.wire.fabric.counts import Counted, NetworkCounts, WayCount, counts_of
from workers.wire.fabric.crossing import Way
from workers.wire.fabric.fabric import Fabric
from workers.wire.fabric.route import Routes
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.reports import Reports
from workers.wire.fabric.shared.segment import COUNT_BYTES, Segment
from workers.wire.fabric.traffic import CLASSES
from workers.wire.membership import Membership
from workers.wire.narrow import Narrow
from workers.wire.notes import Notes
from workers.wire.peer import Peer

_COUNT = struct.Struct(f"<{2 * len(CLASSES) + 1}q")
assert _COUNT.size <= COUNT_BYTES, "a way's counters have room for as many classes"


class SharedCount(WayCount):
    """Counters in the segment, of which this process is the one writer."""

    __slots__ = ("_segment", "_way")

    def __init__(self, segment: Segment, way: int) -> None:
        """Goes on with what an earlier incarnation has counted."""
        self._segment, self._way = segment, way
        self.charged, *rest = _COUNT.unpack_from(segment.count(way))
        self.messages, self.num_bytes = rest[: len(CLASSES)], rest[len(CLASSES) :]

    def add(self, traffic: int, num_bytes: int, charged: int) -> None:
        super().add(traffic, num_bytes, charged)
        packed = _COUNT.pack(self.charged, *self.messages, *self.num_bytes)
        self._segment.set_count(self._way, packed)


class SharedFabric(Fabric):
    """own       links of all nodes; what rules narrow where a message arrives is kept for each
    machine   that this process is on, of those whose nodes it meets
    period_ns between two reports to the others
    """

    links: SharedLinks

    def __init__(
        self,
        section: NetworkSection,
        routes: Routes,
        clock: Clock,
        links: SharedLinks,
        own: Mapping[str, LinkSpec],
        machine: str,
        period_ns: int,
    ) -> None:
        super().__init__(section, routes, clock, links)
        self._machine, self._period_ns = machine, period_ns
        self._reports: Reports | None = None
        self._segment = links.segment
        for node, link in own.items():
            super().join(node, link, Narrow(section.sharing, clock), self._far_end(node))

    def meet(self, notes: Notes, peers: Mapping[str, Peer], members: Membership) -> None:
        self._reports = Reports(
            self._clock, self.links, self._machine, self._period_ns, notes, peers, members
        )

    def _far_end(self, node: str) -> Narrow:
        return self.far_ends.setdefault(node, Narrow("fair", self._clock))

    def join(self, node: str, link: LinkSpec, out: Narrow, into: Narrow) -> None:
        super().join(node, link, out, into)
        self.far_ends.pop(node, None)

    def _count_of(self, way: Way, pair: tuple[str, str]) -> WayCount:
        number = self.links.number_of(self.links.way_of(way.names, way.waits_ns, pair))
        return SharedCount(self._segment, number)

    def counts(self) -> NetworkCounts:
        """Of all nodes of this machine, those among them that are gone."""
        now_ns = self._clock.wall_now()
        self.links.go_on(now_ns)
        with self._segment.locked():
            self._segment.refresh()
            ways = list(enumerate(self._segment.ways()))
        counted: list[Counted] = [
            (way.pair, way.names, SharedCount(self._segment, number))
            for number, way in ways
            if any(way.pair)
        ]
        estimated = self._reports is not None and self._reports.has_others
        found = counts_of(now_ns, counted, self.links)
        return replace(found, machine=self._machine, is_estimated=estimated)

    def close(self) -> None:
        if self._reports is not None:
            self._reports.close()
        self.links.close()

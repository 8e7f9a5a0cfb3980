"""A node's two ends of a network: they pay for nothing alone, what lies between does."""

from typing import Any

from configs.schema.link import LinkSpec
from workers.hardware.energy.meter import Meter
from workers.host.clock.base import Clock
from workers.wire.egress import Egress, Leaving
from workers.wire.fabric.fabric import Fabric
from workers.wire.ingress import Arriving, Deliver, Ingress
from workers.wire.kinds.left import NOT_KNOWN_NS
from workers.wire.message import Message
from workers.wire.notes import Tell
from workers.wire.peer import Peer

# Inner links' energy is counted in whole femtojoules: they may differ from way to way.
_UNIT_JOULES = 1e-15


class FabricEgress(Egress):
    """Energy is the sender's, that of inner links too."""

    def __init__(
        self, fabric: Fabric, node: str, link: LinkSpec, clock: Clock, tell: Tell, meter: Meter
    ) -> None:
        super().__init__(link, clock, tell, meter)
        self._fabric, self._node = fabric, node
        self.narrowed = {}  # what rules narrow is part of a message's way here
        self._inner = meter.component("network", _UNIT_JOULES)

    def leave(self, message: Message[Any], now_ns: int, peer: Peer) -> Leaving:
        """`due_ns` is not known yet: whoever comes may be in the way."""
        message.due_ns = NOT_KNOWN_NS
        crossing = self._fabric.send(message, self._node, peer, self._tell, now_ns)
        way, num_bytes, joules = crossing.way, message.charged_bytes, 0.0
        if self._component is not None and way.by_own_links:
            self._component.count(num_bytes, message.content.computed_for)
            joules += num_bytes * self._joules_per_byte
        if way.joules_per_byte and self._inner is not None:
            units = round(num_bytes * way.joules_per_byte / _UNIT_JOULES)
            self._inner.count(units, message.content.computed_for)
            joules += units * _UNIT_JOULES
        if joules:
            self.joules += joules
            timeline = self._meter.timeline
            timeline.open_joules += joules
            crossing.draws = timeline, message.sent_ns, joules
        return crossing

    def inner_ns(self, node: str) -> int:
        return self._fabric.inner_ns(self._node, node)

    def busy_ns(self, now_ns: int) -> int:
        return self._fabric.busy_ns(f"{self._node}.out", now_ns)


class FabricIngress(Ingress):
    """What comes is there when it has crossed all of its way."""

    def __init__(
        self, fabric: Fabric, node: str, link: LinkSpec, clock: Clock, deliver: Deliver
    ) -> None:
        super().__init__(node, link, clock, deliver)
        self._fabric = fabric

    def arrive(self, peer: Peer, message: Message[Any]) -> None:
        arriving = Arriving(self, peer, message)
        message.arriving, arriving.taken_ns = arriving, 0
        first = peer.arriving.setdefault(message.message_id, arriving)
        if first is not arriving:
            arriving.twin = first
            peer.arriving[message.message_id] = arriving
        if message.due_ns != NOT_KNOWN_NS:
            self.settle(arriving)

    def busy_ns(self, now_ns: int) -> int:
        return self._fabric.busy_ns(f"{self._node}.in", now_ns)


def make_ends(
    fabric: Fabric | None,
    node: str,
    link: LinkSpec,
    clock: Clock,
    tell: Tell,
    meter: Meter,
    deliver: Deliver,
) -> tuple[Egress, Ingress]:
    """Of a node's own link alone, or of a network that it joins."""
    if fabric is None:
        return Egress(link, clock, tell, meter), Ingress(node, link, clock, deliver)
    out = FabricEgress(fabric, node, link, clock, tell, meter)
    into = FabricIngress(fabric, node, link, clock, deliver)
    fabric.join(node, link, out.narrow, into.narrow)
    return out, into

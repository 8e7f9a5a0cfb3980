"""A message's way into a node: held until its first byte arrives, taken in beside all others, and
there when both its last byte has come and the ingress has taken it.

    sender     [ first ....... last ]── latency ──▶ ┐
    ingress        latency ──▶[ first ....... last ]─┴─ the later one: delivered
"""

from collections.abc import Callable, Sequence
from typing import Any

from configs.schema.link import LinkSpec
from workers.host.clock.base import Clock, Timer
from workers.wire.curve import landing_ns
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.lane import make_lane
from workers.wire.message import Message
from workers.wire.narrow import Crossing, Narrow, last_of
from workers.wire.peer import Peer

Deliver = Callable[[Peer, Message[Any]], None]


class Arriving:
    """A message that has not arrived yet. Its `due_ns` may still change.

    taken_ns   when the ingress has taken all of it; NOT_KNOWN_NS while that is not certain
    narrowed   other lanes that it crosses on its way in
    twin       another that goes by the same id, where a rule has doubled it
    is_there   it was delivered: whoever comes late and shares with its past changes it no more
    """

    __slots__ = ("_ingress", "is_there", "message", "narrowed", "peer", "taken_ns", "timer", "twin")

    def __init__(self, ingress: "Ingress", peer: Peer, message: Message[Any]) -> None:
        self._ingress, self.peer, self.message = ingress, peer, message
        self.taken_ns = NOT_KNOWN_NS
        self.narrowed: Sequence[Crossing] = ()
        self.timer: Timer | None = None
        self.twin: Arriving | None = None
        self.is_there = False

    def took_back(self) -> None:
        self.taken_ns = NOT_KNOWN_NS
        self._ingress.settle(self)

    def ended(self, end_ns: int) -> None:
        self.taken_ns = end_ns
        self._ingress.settle(self)

    def settle(self) -> None:
        """What is known of it has changed."""
        self._ingress.settle(self)


class Ingress:
    """All messages on their way into one node."""

    def __init__(self, node: str, link: LinkSpec, clock: Clock, deliver: Deliver) -> None:
        self._node, self._clock, self._deliver = node, clock, deliver
        self._of_devices = of_devices = clock.of_devices
        self.lane, self._link = make_lane(link, of_devices), link
        self._lands_late = link.dram_latency_ns > 0
        self.narrow = Narrow(link.sharing, of_devices)
        self._narrowed, self._narrowed_far = self.narrow.rules, self.narrow.far

    def arrive(self, peer: Peer, message: Message[Any]) -> None:
        """Its first byte is here a latency after it left."""
        arriving = Arriving(self, peer, message)
        message.arriving = arriving
        first = peer.arriving.setdefault(message.message_id, arriving)
        if first is not arriving:
            arriving.twin = first
            peer.arriving[message.message_id] = arriving
        first_byte_ns = message.sent_ns + peer.latency_in_ns + message.delay_ns
        self._of_devices.call_at(first_byte_ns, self._begin, arriving, first_byte_ns)

    def _begin(self, arriving: Arriving, first_byte_ns: int) -> None:
        """The sender sends no faster than its own link."""
        message, bytes_per_s = arriving.message, arriving.peer.bytes_per_s
        if (curve := arriving.peer.curve) is not None:
            bytes_per_s = curve.bytes_per_s(message.charged_bytes)
        if self._narrowed or self._narrowed_far:
            bytes_per_s = self._cross(arriving, first_byte_ns, bytes_per_s)
        _, taken_ns = self.lane.start(first_byte_ns, message.charged_bytes, arriving, bytes_per_s)
        if arriving.narrowed:
            arriving.taken_ns = taken_ns
            self.settle(arriving)
            return
        arriving.taken_ns, due_ns = taken_ns, message.due_ns
        if taken_ns != NOT_KNOWN_NS and due_ns != NOT_KNOWN_NS:
            at_ns = taken_ns if taken_ns > due_ns else due_ns
            if self._lands_late:
                at_ns += landing_ns(self._link, message.charged_bytes)
            arriving.timer = self._clock.call_at(at_ns, self._arrived, arriving, at_ns)

    def _cross(self, arriving: Arriving, first_byte_ns: int, bytes_per_s: int) -> int:
        """Take it over what rules have narrowed; returns how fast it goes on from there."""
        message, narrow = arriving.message, self.narrow
        way = arriving.peer.node, self._node, message
        arriving.narrowed = narrow.cross(first_byte_ns, *way, bytes_per_s, arriving.settle)
        return narrow.slowest(*way, bytes_per_s)

    def revise(self, peer: Peer, left: Left) -> None:
        """What the sender says of a message that is on its way."""
        arriving = peer.arriving.get(left.message_id)
        while arriving is not None:
            known = left.due_ns != NOT_KNOWN_NS
            message = arriving.message
            message.due_ns = left.due_ns + message.delay_ns if known else NOT_KNOWN_NS
            self.settle(arriving)
            arriving = arriving.twin

    def busy_ns(self, now_ns: int) -> int:
        """How long it has taken messages in until now, as time of the whole lane."""
        return self.lane.busy_ns(now_ns)

    def settle(self, arriving: Arriving) -> None:
        """Deliver it when both are known: that it has come, and that it was taken in."""
        if arriving.is_there:
            return
        if arriving.timer is not None:
            arriving.timer.cancel()
            arriving.timer = None
        taken_ns, due_ns = arriving.taken_ns, arriving.message.due_ns
        if arriving.narrowed:
            taken_ns = last_of(taken_ns, arriving.narrowed)
        if taken_ns == NOT_KNOWN_NS or due_ns == NOT_KNOWN_NS:
            return
        at_ns = taken_ns if taken_ns > due_ns else due_ns
        if self._lands_late:
            at_ns += landing_ns(self._link, arriving.message.charged_bytes)
        arriving.timer = self._clock.call_at(at_ns, self._arrived, arriving, at_ns)

    def _arrived(self, arriving: Arriving, at_ns: int) -> None:
        message, peer = arriving.message, arriving.peer
        arriving.is_there = True
        first = peer.arriving.pop(message.message_id)
        if first is not arriving or arriving.twin is not None:
            _put_back(peer, first, arriving)
        # No circle is left behind: neither by way of the envelope nor of the timer's arguments.
        message.due_ns, message.arriving, arriving.timer = at_ns, None, None
        self._deliver(peer, message)


def _put_back(peer: Peer, first: Arriving | None, arrived: Arriving) -> None:
    """Others that go by the same id as one that has arrived: they may have not."""
    others = []
    while first is not None:
        if first is not arrived:
            others.append(first)
        first = first.twin
    for index, other in enumerate(others):
        other.twin = others[index + 1] if index + 1 < len(others) else None
    peer.arriving[arrived.message.message_id] = others[0]

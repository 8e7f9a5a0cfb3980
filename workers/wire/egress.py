"""A message's way out of a node: when its first byte leaves, and when its last is at the far end.

The far end learns of it with the message, as a promise, or later. Where messages share fairly, only
one that is alone can be promised an end; whoever joins it takes the promise back, and the far end
hears when the last byte has left:

    leave A ──▶ due 900            A is alone: due if nobody comes
    leave B ──▶ A: not known       B: not known either, they share
    A ends  ──▶ A: due 1500        (`Left`, from one emulator to the other: it costs no link)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema.link import LinkSpec
from workers.hardware.energy.meter import Meter
from workers.hardware.energy.phase import Cause
from workers.hardware.energy.timeline import Timeline
from workers.hardware.sharing.in_order import Fifo
from workers.host.clock.base import Clock
from workers.wire.curve import curve_of
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.lane import make_lane
from workers.wire.message import Message
from workers.wire.narrow import Crossing, Narrow, Narrowing, last_of
from workers.wire.notes import Tell
from workers.wire.peer import Peer


class Leaving:
    """A message on its way out.

    end_ns     when its last byte has left by the node's own lane, or NOT_KNOWN_NS
    narrowed   other lanes that it crosses on its way out
    shared     what was sent of it, where the far end is in this process and sees the very same
               envelopes; None: whoever is there is told by a note
    draws      (where that is drawn, when its first byte leaves, joules); None: none
    """

    __slots__ = ("_tell", "draws", "end_ns", "message_id", "narrowed", "peer", "shared")

    def __init__(self, message_id: int, peer: Peer, tell: Tell) -> None:
        self.message_id, self.peer, self._tell = message_id, peer, tell
        self.end_ns = NOT_KNOWN_NS
        self.narrowed: Sequence[Crossing] = ()
        self.shared: Sequence[Message[Any]] | None = None
        self.draws: tuple[Timeline, int, float] | None = None

    def took_back(self) -> None:
        if self.draws is not None:
            timeline, begin_ns, joules = self.draws
            timeline.draw(begin_ns, self.end_ns, -joules)
            timeline.open_joules += joules
        self.end_ns = NOT_KNOWN_NS
        self._revise(NOT_KNOWN_NS)

    def ended(self, end_ns: int) -> None:
        self._is_out(end_ns)
        if self.narrowed:
            self.revise()
        else:
            self._revise(end_ns + self.peer.latency_ns)

    def _is_out(self, end_ns: int) -> None:
        """Its last byte has left: what that draws is certain."""
        if self.draws is not None:
            timeline, begin_ns, joules = self.draws
            timeline.draw(begin_ns, end_ns, joules)
            timeline.open_joules -= joules
        self.end_ns = end_ns

    def revise(self) -> None:
        """Something is known of one of several lanes."""
        end_ns = last_of(self.end_ns, self.narrowed)
        self._revise(end_ns if end_ns == NOT_KNOWN_NS else end_ns + self.peer.latency_ns)

    def _revise(self, due_ns: int) -> None:
        if self.shared is None:
            self._tell(self.peer, Left(self.message_id, due_ns))
            return
        for message in self.shared:
            message.due_ns = due_ns if due_ns == NOT_KNOWN_NS else due_ns + message.delay_ns
            if message.arriving is not None:
                message.arriving.settle()


class Egress:
    """All messages on their way out of one node. Energy is the sender's."""

    def __init__(self, link: LinkSpec, clock: Clock, tell: Tell, meter: Meter) -> None:
        self._link, self.lane, self._tell = link, make_lane(link, clock.of_devices), tell
        self._may_change = not self.lane.keeps_promises
        self._joules_per_byte, self._curve = link.pj_per_bit * 8e-12, curve_of(link)
        self.narrow = Narrow(link.sharing, clock.of_devices)
        # By rules; what they hit is to `cross` them.
        self.narrowed: Mapping[str, Narrowing] = self.narrow.rules
        self.joules = 0.0
        self._meter = meter
        self._component = meter.component("link", self._joules_per_byte)

    def leave(self, message: Message[Any], now_ns: int, peer: Peer) -> Leaving | None:
        """Take a message out. Stamps `sent_ns`, when its first byte leaves, and `due_ns`, when the
        last one is at the far end, nobody there being in the way; NOT_KNOWN_NS where others share.
        Returns what may still change `due_ns`, if anything can.
        """
        leaving = Leaving(message.message_id, peer, self._tell) if self._may_change else None
        num_bytes = message.charged_bytes
        message.sent_ns, end_ns = self.lane.start(now_ns, num_bytes, leaving)
        message.due_ns = end_ns if end_ns == NOT_KNOWN_NS else end_ns + peer.latency_ns
        if leaving is not None:
            leaving.end_ns = end_ns
        if self._component is not None:
            self._spend(message, end_ns, leaving)
        return leaving

    def _spend(self, message: Message[Any], end_ns: int, leaving: Leaving | None) -> None:
        """Its bytes are counted now, and drawn while they leave: when that is may change."""
        assert self._component is not None, "else it is for nothing"
        num_bytes, timeline = message.charged_bytes, self._meter.timeline
        self._component.count(num_bytes, message.content.computed_for)
        joules = num_bytes * self._joules_per_byte
        self.joules += joules
        if end_ns == NOT_KNOWN_NS:
            timeline.open_joules += joules
        else:
            timeline.draw(message.sent_ns, end_ns, joules)
        if leaving is not None:
            leaving.draws = timeline, message.sent_ns, joules

    def cross(
        self, message: Message[Any], source: str, peer: Peer, leaving: Leaving | None
    ) -> None:
        """Take a message that is leaving over what rules have narrowed, from its first byte on."""
        bytes_per_s = self._link.bytes_per_s
        if self._curve is not None:
            bytes_per_s = self._curve.bytes_per_s(message.charged_bytes)
        crossings = self.narrow.cross(
            message.sent_ns,
            source,
            peer.node,
            message,
            bytes_per_s,
            _kept if leaving is None else leaving.revise,
        )
        end_ns = message.due_ns - peer.latency_ns if leaving is None else leaving.end_ns
        end_ns = last_of(end_ns, crossings)
        message.due_ns = end_ns if end_ns == NOT_KNOWN_NS else end_ns + peer.latency_ns
        if leaving is not None:
            leaving.narrowed = crossings

    def left(self, num_bytes: int, busy_ns: int, cause: Cause, begin_ns: int, end_ns: int) -> None:
        """So much has left between two instants, for which somebody else kept the time."""
        assert isinstance(self.lane, Fifo), "time is kept by others where messages go in order"
        self.lane.worked(busy_ns)
        if self._component is not None:
            self._component.count(num_bytes, cause)
            self.joules += num_bytes * self._joules_per_byte
            self._meter.timeline.draw(begin_ns, end_ns, num_bytes * self._joules_per_byte)

    def inner_ns(self, node: str) -> int:
        """Latency to another node beside that of the two ends' links."""
        return 0

    def busy_ns(self, now_ns: int) -> int:
        """How long it has worked until now, as time of the whole lane."""
        return self.lane.busy_ns(now_ns)


def _kept() -> None:
    raise AssertionError("where all promises are kept, none is revised")

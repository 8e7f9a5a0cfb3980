"""A message's way into a node: held until its first byte arrives, taken in beside all others, and
there when both its last byte has come and the ingress has taken it.

    sender     [ first ....... last ]── latency ──▶ ┐
    ingress        latency ──▶[ first ....... last ]─┴─ the later one: delivered
"""

from collections.abc import Callable
from typing import Any

from workers.host.clock.base import Clock, Timer
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.lane import Lane
from workers.wire.membership import Incarnation
from workers.wire.message import Message

Deliver = Callable[[Incarnation, Message[Any]], None]


class _Arriving:
    """A message that has not arrived yet. Its `due_ns` may still change.

    taken_ns   when the ingress has taken all of it; NOT_KNOWN_NS until that is certain
    """

    __slots__ = ("message", "source", "taken_ns", "timer")

    def __init__(self, source: Incarnation, message: Message[Any]) -> None:
        self.source, self.message = source, message
        self.taken_ns = NOT_KNOWN_NS
        self.timer: Timer | None = None


class Ingress:
    """All messages on their way into one node."""

    def __init__(self, clock: Clock, lane: Lane, deliver: Deliver) -> None:
        self._clock, self._lane, self._deliver = clock, lane, deliver
        # A rule may have doubled a message: then several go by one id.
        self._arriving: dict[tuple[Incarnation, int], list[_Arriving]] = {}

    def arrive(
        self, source: Incarnation, message: Message[Any], latency_ns: int, bytes_per_s: int
    ) -> None:
        """Its first byte is here `latency_ns` after it left; its sender sends no faster than
        `bytes_per_s`.
        """
        arriving = _Arriving(source, message)
        key = (source, message.message_id)
        self._arriving.setdefault(key, []).append(arriving)
        first_byte_ns = message.sent_ns + latency_ns + message.delay_ns

        def begin() -> None:
            self._lane.start(first_byte_ns, message.charged_bytes, taken, bytes_per_s)

        def taken(end_ns: int) -> None:
            arriving.taken_ns = end_ns
            self._settle(arriving)

        self._clock.call_at(first_byte_ns, begin)

    def revise(self, source: Incarnation, left: Left) -> None:
        """What the sender says of a message that is on its way."""
        for arriving in self._arriving.get((source, left.message_id), ()):
            message = arriving.message
            known = left.due_ns != NOT_KNOWN_NS
            message.due_ns = left.due_ns + message.delay_ns if known else NOT_KNOWN_NS
            if arriving.timer is not None:
                arriving.timer.cancel()
                arriving.timer = None
            self._settle(arriving)

    def busy_ns(self, now_ns: int) -> int:
        """How long it has taken bytes in until now, as time at its full bandwidth."""
        return self._lane.busy_ns(now_ns)

    def _settle(self, arriving: _Arriving) -> None:
        """Deliver it when both are known: that it has come, and that it was taken in."""
        taken_ns, due_ns = arriving.taken_ns, arriving.message.due_ns
        if taken_ns == NOT_KNOWN_NS or due_ns == NOT_KNOWN_NS:
            return
        at_ns = max(taken_ns, due_ns)
        arriving.timer = self._clock.call_at(at_ns, lambda: self._arrived(arriving, at_ns))

    def _arrived(self, arriving: _Arriving, at_ns: int) -> None:
        key = (arriving.source, arriving.message.message_id)
        others = self._arriving[key]
        others.remove(arriving)
        if not others:
            del self._arriving[key]
        arriving.message.due_ns = at_ns
        self._deliver(arriving.source, arriving.message)

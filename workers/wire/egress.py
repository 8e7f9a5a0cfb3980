"""A message's way out of a node: when its first byte leaves, and when its last is at the far end.

In order, a message waits for those before it, and its end is certain when it leaves. Fairly, all go
on together, each slower for every other one. Then only a message that is alone can be promised an
end; whoever joins it takes the promise back, and the far end hears when the last byte has left:

    leave A ──▶ due 900            A is alone: due if nobody comes
    leave B ──▶ A: not known       B: not known either, they share
    A ends  ──▶ A: due 1500        (`Left`, from one emulator to the other: it costs no link)
"""

from collections.abc import Callable
from typing import Any, Protocol

from configs.schema.link import LinkSpec
from workers.hardware.sharing.base import duration_ns
from workers.hardware.sharing.fair import Fair, FairFlow, grains
from workers.hardware.sharing.in_order import Fifo
from workers.host.clock.base import Clock, Timer
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.membership import Incarnation
from workers.wire.message import Message

Tell = Callable[[Incarnation, Left], None]


class Egress(Protocol):
    def leave(self, message: Message[Any], now_ns: int, to: Incarnation, latency_ns: int) -> None:
        """Take a message out. Stamps `sent_ns`, when its first byte leaves, and `due_ns`, when the
        last one is at the far end, nobody there being in the way; NOT_KNOWN_NS where others share.
        """
        ...

    def busy_ns(self, now_ns: int) -> int:
        """How long it has moved bytes until now, as time at its full bandwidth."""
        ...


def make_egress(spec: LinkSpec, clock: Clock, tell: Tell) -> Egress:
    """The egress that a link's `sharing` asks for."""
    if spec.sharing == "fair":
        return FairEgress(spec.bytes_per_s, clock, tell)
    return FifoEgress(spec.bytes_per_s)


class FifoEgress:
    """One message after the other."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s, self._fifo = bytes_per_s, Fifo()

    def leave(self, message: Message[Any], now_ns: int, to: Incarnation, latency_ns: int) -> None:
        message.sent_ns = self._fifo.begins_ns(now_ns)
        took_ns = duration_ns(message.charged_bytes, self._bytes_per_s)
        message.due_ns = self._fifo.join(now_ns, took_ns) + latency_ns

    def busy_ns(self, now_ns: int) -> int:
        return self._fifo.busy_ns(now_ns)


class _Leaving(FairFlow):
    """A message on its way out: who is told its end, and by what id."""

    __slots__ = ("latency_ns", "message_id", "to")

    def __init__(self, size_grains: int, message_id: int, to: Incarnation, latency_ns: int) -> None:
        super().__init__(_nobody, size_grains)
        self.message_id, self.to, self.latency_ns = message_id, to, latency_ns


def _nobody(end_ns: int) -> None:
    """Its egress tells whom it concerns."""


class FairEgress:
    """All messages at once, each with an equal part."""

    def __init__(self, bytes_per_s: int, clock: Clock, tell: Tell) -> None:
        self._bytes_per_s, self._clock, self._tell = bytes_per_s, clock, tell
        self._fair = Fair()
        self._num_open = 0
        self._promised: _Leaving | None = None
        self._timer: Timer | None = None
        self._timer_ns = NOT_KNOWN_NS

    def leave(self, message: Message[Any], now_ns: int, to: Incarnation, latency_ns: int) -> None:
        if self._num_open:
            self._settle(now_ns)
        num_bytes = message.charged_bytes
        size = grains(num_bytes, self._bytes_per_s)
        flow = _Leaving(size, message.message_id, to, latency_ns)
        message.sent_ns = now_ns
        if self._num_open:
            message.due_ns = NOT_KNOWN_NS
            self._take_back_the_promise()
        else:
            message.due_ns = now_ns + duration_ns(num_bytes, self._bytes_per_s) + latency_ns
            self._promised = flow
        self._num_open += 1
        self._fair.join(now_ns, flow)
        self._set_timer()

    def busy_ns(self, now_ns: int) -> int:
        return self._fair.busy_ns(now_ns)

    def _take_back_the_promise(self) -> None:
        flow, self._promised = self._promised, None
        if flow is not None:
            self._tell(flow.to, Left(flow.message_id, NOT_KNOWN_NS))

    def _settle(self, now_ns: int) -> None:
        """Tell the ends of those that have left by now; a promise was told when it was made."""
        for flow in self._fair.advance(now_ns):
            assert isinstance(flow, _Leaving)
            self._num_open -= 1
            if flow is self._promised:
                self._promised = None
                continue
            assert flow.end_ns is not None, "who has left knows when"
            self._tell(flow.to, Left(flow.message_id, flow.end_ns + flow.latency_ns))

    def _set_timer(self) -> None:
        """For the next end that somebody has to be told."""
        next_ns = self._fair.next_end_ns
        if next_ns is None or self._promised is not None:
            next_ns = NOT_KNOWN_NS
        if next_ns == self._timer_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = next_ns
        self._timer = None if next_ns < 0 else self._clock.call_at(next_ns, self._due)

    def _due(self) -> None:
        due_ns, self._timer, self._timer_ns = self._timer_ns, None, NOT_KNOWN_NS
        self._settle(due_ns)
        self._set_timer()

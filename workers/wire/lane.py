"""One direction of a node's link, shared by all messages on it at once: its egress or its ingress.

In order, a message waits for those before it, and its end is certain when it starts. Fairly, all go
on together, each slower for every other one, and an end is known when it comes; but to a message
that is alone one can be promised, until somebody joins it.
"""

from typing import Protocol

from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from workers.hardware.sharing.base import duration_ns
from workers.hardware.sharing.fair import GRAINS, Fair, FairFlow, grains, part_of
from workers.hardware.sharing.in_order import Fifo
from workers.host.clock.base import Clock, Timer
from workers.wire.curve import Curve, curve_of
from workers.wire.kinds.left import NOT_KNOWN_NS


class Traveller(Protocol):
    """A message on a lane."""

    def took_back(self) -> None:
        """The end that it was promised is not certain any more."""
        ...

    def ended(self, end_ns: int) -> None:
        """Its last byte has moved; told only where no promise was kept."""
        ...


class Lane(Protocol):
    """keeps_promises: none is ever taken back, and travellers need not be."""

    @property
    def keeps_promises(self) -> bool: ...

    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        """A message is on the lane from `now_ns` until its last byte has moved. Returns when its
        first byte moves, and when its last one has: a promise, or NOT_KNOWN_NS. Then the traveller
        hears of it when it comes.

        limit_bytes_per_s   it moves no faster than this; 0: as fast as the lane
        """
        ...

    def busy_ns(self, now_ns: int) -> int:
        """How long it has worked until now, as time of the whole lane."""
        ...


def make_lane(spec: LinkSpec, clock: Clock) -> Lane:
    """One direction of that link."""
    curve = curve_of(spec)
    if curve is None:
        return lane_of(spec.bytes_per_s, spec.sharing, clock)
    return CurvedLane(curve, lane_of(curve.parts_per_s, spec.sharing, clock))


def lane_of(bytes_per_s: int, sharing: Sharing, clock: Clock) -> Lane:
    return FairLane(bytes_per_s, clock) if sharing == "fair" else FifoLane(bytes_per_s)


class CurvedLane:
    """A lane that messages take for more than their bytes; what they take they share like bytes."""

    __slots__ = ("_curve", "_lane", "keeps_promises")

    def __init__(self, curve: Curve, lane: Lane) -> None:
        """lane: of the curve's parts, not of bytes."""
        self._curve, self._lane, self.keeps_promises = curve, lane, lane.keeps_promises

    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        """A limit says how long the message takes at least: that long it may take the lane."""
        parts = self._curve.parts(num_bytes)
        limit = -(-parts * limit_bytes_per_s // num_bytes) if limit_bytes_per_s else 0
        return self._lane.start(now_ns, parts, traveller, limit)

    def busy_ns(self, now_ns: int) -> int:
        return self._lane.busy_ns(now_ns)


class FifoLane(Fifo):
    """One message after the other. Nearly all take the whole lane, and every message passes twice:
    that is written out.
    """

    __slots__ = ("_bytes_per_s",)
    keeps_promises = True

    def __init__(self, bytes_per_s: int) -> None:
        super().__init__()
        self._bytes_per_s = bytes_per_s

    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        """One with a limit of its own takes longer; what it leaves of the lane those behind it
        have.
        """
        bytes_per_s = self._bytes_per_s
        if self._open or 0 < limit_bytes_per_s < bytes_per_s:
            limit = part_of(limit_bytes_per_s, bytes_per_s) if limit_bytes_per_s else GRAINS
            return self.take(now_ns, grains(num_bytes, bytes_per_s), min(limit, GRAINS))
        took_ns = -(-num_bytes * 1_000_000_000 // bytes_per_s)
        begin_ns = now_ns if now_ns > self.free_ns else self.free_ns
        self.free_ns = end_ns = begin_ns + took_ns
        self._taken_ns += took_ns
        return begin_ns, end_ns


class _Alone:
    """The one message on a lane: when it began, its promised end, and what it is."""

    __slots__ = ("begin_ns", "end_ns", "limit_bytes_per_s", "num_bytes", "traveller")

    def __init__(
        self, begin_ns: int, end_ns: int, num_bytes: int, limit: int, traveller: Traveller
    ) -> None:
        self.begin_ns, self.end_ns, self.num_bytes = begin_ns, end_ns, num_bytes
        self.limit_bytes_per_s, self.traveller = limit, traveller


def _whole_grains_of_byte(bytes_per_s: int) -> int:
    """As many as a byte has where no count of them is rounded, as at most rates; else 0."""
    a_byte = grains(1, bytes_per_s)
    return a_byte if grains(bytes_per_s, bytes_per_s) == a_byte * bytes_per_s else 0


class FairLane:
    """All messages at once, each with an equal part. While there is one, it needs neither a policy
    nor a timer; they come in with the second.
    """

    __slots__ = (
        "_alone", "_alone_ns", "_bytes_per_s", "_clock", "_fair", "_grains_of_byte", "_num_flows",
        "_timer", "_timer_ns",
    )  # fmt: skip
    keeps_promises = False

    def __init__(self, bytes_per_s: int, clock: Clock) -> None:
        self._bytes_per_s, self._clock = bytes_per_s, clock
        self._grains_of_byte = _whole_grains_of_byte(bytes_per_s)
        self._fair, self._num_flows = Fair(), 0
        self._alone: _Alone | None = None
        self._alone_ns = 0  # how long those worked that were alone to their end
        self._timer: Timer | None = None
        self._timer_ns = NOT_KNOWN_NS

    def start(
        self, now_ns: int, num_bytes: int, traveller: Traveller | None, limit_bytes_per_s: int = 0
    ) -> tuple[int, int]:
        assert traveller is not None, "somebody has to hear when a promise is taken back"
        if limit_bytes_per_s >= self._bytes_per_s:
            limit_bytes_per_s = 0
        if self._num_flows and self._is_due(now_ns):
            self._settle(now_ns)
            if not self._num_flows:
                self._set_timer()
        alone = self._alone
        if alone is not None and alone.end_ns <= now_ns:  # it has ended, as was promised
            self._alone_ns += self._worked_ns(alone, now_ns)
            self._alone = alone = None
        if alone is None and not self._num_flows:
            end_ns = now_ns + duration_ns(num_bytes, limit_bytes_per_s or self._bytes_per_s)
            self._alone = _Alone(now_ns, end_ns, num_bytes, limit_bytes_per_s, traveller)
            return now_ns, end_ns
        if alone is not None:
            self._alone = None
            begin_ns, size, limit = alone.begin_ns, alone.num_bytes, alone.limit_bytes_per_s
            self._join(begin_ns, size, alone.traveller, limit)
            alone.traveller.took_back()
            now_ns = max(now_ns, alone.begin_ns)  # a host that is late cannot share the past
        self._join(now_ns, num_bytes, traveller, limit_bytes_per_s)
        self._set_timer()
        return now_ns, NOT_KNOWN_NS

    def busy_ns(self, now_ns: int) -> int:
        worked_ns = self._alone_ns + self._fair.busy_ns(now_ns)
        if self._alone is not None and now_ns > self._alone.begin_ns:
            worked_ns += self._worked_ns(self._alone, now_ns)
        return worked_ns

    def _worked_ns(self, alone: _Alone, now_ns: int) -> int:
        passed_ns = min(now_ns, alone.end_ns) - alone.begin_ns
        limit = alone.limit_bytes_per_s
        return passed_ns * limit // self._bytes_per_s if limit else passed_ns

    def _join(
        self, now_ns: int, num_bytes: int, traveller: Traveller, limit_bytes_per_s: int
    ) -> None:
        limit = None
        if limit_bytes_per_s:
            limit = part_of(limit_bytes_per_s, self._bytes_per_s)
        if self._grains_of_byte:
            size = num_bytes * self._grains_of_byte
        else:
            size = grains(num_bytes, self._bytes_per_s)
        flow = FairFlow(traveller.ended, size, limit)
        self._fair.join(now_ns, flow)
        self._num_flows += 1

    def _is_due(self, now_ns: int) -> bool:
        """Whether some have ended by now: nearly always none has, and whoever joins goes on to now
        by itself.
        """
        next_ns = self._fair.next_end_ns
        return next_ns is not None and next_ns <= now_ns

    def _settle(self, now_ns: int) -> None:
        """Tell those that have ended by now."""
        for flow in self._fair.advance(now_ns):
            assert flow.end_ns is not None, "who has ended knows when"
            self._num_flows -= 1
            flow.ended(flow.end_ns)

    def _set_timer(self) -> None:
        """Not later than the next end. A timer that is too early, because somebody joined since, is
        cheaper than one set anew for each who joins: it looks, and sets the next.
        """
        next_ns = self._fair.next_end_ns if self._num_flows else None
        if self._timer is not None:
            if next_ns is not None and self._timer_ns <= next_ns:
                return
            self._timer.cancel()
            self._timer = None
        if next_ns is not None:
            self._timer, self._timer_ns = self._clock.call_at(next_ns, self._due), next_ns

    def _due(self) -> None:
        self._timer = None
        self._settle(self._timer_ns)
        self._set_timer()

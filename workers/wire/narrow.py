"""Links that rules put into a message's way: the one that such a rule is about, as slow as it says.

A rule narrows an end of a way: what it hits there crosses one more lane, beside the node's own, and
shares it with all else that the rule hits there. As with any link, bytes go on as they come:

    own egress      [ first ....... last ]
    narrowed        [ first ............. last ]── latency ──▶ the receiver's ingress, no faster
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from configs.schema.device import Sharing
from workers.host.clock.base import Clock
from workers.wire.kinds.left import NOT_KNOWN_NS
from workers.wire.lane import Lane, lane_of
from workers.wire.message import Message


class Narrowing(Protocol):
    """What a rule narrows, and to what."""

    @property
    def bytes_per_s(self) -> int: ...

    def hits(self, source: str, destination: str, message: Message[Any]) -> bool:
        """Asked at both ends of a way, which say the same. `source` and `destination` are nodes."""
        ...


class Crossing:
    """A message on one narrowed lane: when its last byte has crossed, or NOT_KNOWN_NS."""

    __slots__ = ("_changed", "end_ns")

    def __init__(self, changed: Callable[[], None]) -> None:
        self.end_ns, self._changed = NOT_KNOWN_NS, changed

    def took_back(self) -> None:
        self.end_ns = NOT_KNOWN_NS
        self._changed()

    def ended(self, end_ns: int) -> None:
        self.end_ns = end_ns
        self._changed()


def last_of(end_ns: int, crossings: Sequence[Crossing]) -> int:
    """When a message is through its own lane, which it is at `end_ns`, and all others."""
    for crossing in crossings:
        if end_ns == NOT_KNOWN_NS or crossing.end_ns == NOT_KNOWN_NS:
            return NOT_KNOWN_NS
        end_ns = max(end_ns, crossing.end_ns)
    return end_ns


class Narrow:
    """The narrowed lanes of one direction of a node's link, by rule.

    far   rules that narrow the other end: what they hit comes no faster
    """

    def __init__(self, sharing: Sharing, clock: Clock) -> None:
        self._sharing, self._clock = sharing, clock
        self.rules: dict[str, Narrowing] = {}
        self.far: dict[str, Narrowing] = {}
        self._lanes: dict[str, Lane] = {}

    def take_out(self, name: str) -> None:
        """A rule holds no more. What is on its lane crosses it to the end."""
        self.rules.pop(name, None)
        self.far.pop(name, None)
        self._lanes.pop(name, None)

    def cross(
        self,
        now_ns: int,
        source: str,
        destination: str,
        message: Message[Any],
        limit_bytes_per_s: int,
        changed: Callable[[], None],
    ) -> list[Crossing]:
        """Send a message over each lane whose rule hits it, all from now on.

        changed   called when an end that was promised, or not known, is another
        """
        crossings = []
        for name, rule in self.rules.items():
            if rule.hits(source, destination, message):
                crossing = Crossing(changed)
                _, crossing.end_ns = self._lane(name, rule).start(
                    now_ns, message.charged_bytes, crossing, limit_bytes_per_s
                )
                crossings.append(crossing)
        return crossings

    def slowest(
        self, source: str, destination: str, message: Message[Any], bytes_per_s: int
    ) -> int:
        """How fast a message comes from the far end at most, and goes on from here."""
        for rule in (*self.rules.values(), *self.far.values()):
            if rule.hits(source, destination, message):
                bytes_per_s = min(bytes_per_s, rule.bytes_per_s)
        return bytes_per_s

    def busy_ns(self, now_ns: int) -> dict[str, int]:
        """Rule -> how long its lane has moved bytes until now, as time at its full rate."""
        return {name: lane.busy_ns(now_ns) for name, lane in self._lanes.items()}

    def _lane(self, name: str, rule: Narrowing) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = lane_of(rule.bytes_per_s, self._sharing, self._clock)
        return lane

"""A message on its way through a network."""

from collections.abc import Sequence

from workers.wire.egress import Leaving
from workers.wire.fabric.counts import WayCount
from workers.wire.fabric.route import Route
from workers.wire.notes import Tell
from workers.wire.peer import Peer


class Way:
    """All that a message from node to node takes on one route: links by name, the nodes' own ones
    among them, and what its bytes are charged for.

    waits_ns     how long after the message leaves its first byte is at each, if nobody is in the
                 way
    latency_ns   from the last of them to the receiver, where each is left with the first byte, and
                 of the whole way where all move together
    joules_per_byte   of the inner links; own links' are their node's
    """

    __slots__ = ("by_own_links", "count", "joules_per_byte", "latency_ns", "names", "waits_ns")
    count: WayCount  # of all that took it

    def __init__(self, route: Route, own: tuple[str, str], ends_ns: tuple[int, int]) -> None:
        """ends_ns: from the sender to the first port, and from the last one to the receiver."""
        first_ns, last_ns = ends_ns if route.by_own_links else (0, 0)
        self.latency_ns = first_ns + route.latency_ns + last_ns
        names, waits_ns = route.hops, tuple(first_ns + wait_ns for wait_ns in route.waits_ns)
        if route.by_own_links:
            names, waits_ns = (own[0], *names, own[1]), (0, *waits_ns, self.latency_ns)
        self.names, self.waits_ns = names, waits_ns
        self.joules_per_byte, self.by_own_links = route.joules_per_byte, route.by_own_links


class Crossing(Leaving):
    """It is told one end: when its last byte has crossed all of them."""

    __slots__ = ("way",)

    def __init__(self, message_id: int, peer: Peer, tell: Tell, way: Way) -> None:
        super().__init__(message_id, peer, tell)
        self.way = way

    def ended(self, end_ns: int) -> None:
        self._is_out(end_ns)
        self._revise(end_ns + self.way.latency_ns)


def names_of(way: Way, out: Sequence[str], into: Sequence[str]) -> tuple[str, ...]:
    """The way's links, and those that rules have narrowed at its two ends."""
    return (*way.names[:1], *out, *way.names[1:], *into)

"""All that a node keeps of one incarnation of another: it goes when that goes."""

from typing import Any

from workers.host.clock.base import Clock
from workers.host.credits import Credits
from workers.wire.curve import curve_of
from workers.wire.mail import Way
from workers.wire.membership import Member
from workers.wire.remembered import Remembered
from workers.wire.round_trips import RoundTrips

# Unanswered calls to one peer; the next one waits. Far above what a batch a layer to a shard needs,
# and twice what a line of reports may have on its way (`line.WINDOW_MAX`).
CREDITS_PER_PEER = 1024


class Peer:
    """What is open between this node and one incarnation.

    latency_ns    of the path to it, the start-up at this end included
    latency_in_ns   of the path from it, the start-up at its end included
    link          its own                  bytes_per_s   of that
    curve         what messages cost its link beside their bytes, if anything
    way           hands a message over to its wire; None until the first
    pending       calls to it without an answer, by message id, lowest first (`calls.Pending`)
    arriving      messages from it that are on their way, by message id (`ingress.Arriving`)
    remembered    its calls, and what they were answered
    """

    __slots__ = (
        "arriving", "bytes_per_s", "credits", "curve", "epoch", "latency_in_ns", "latency_ns",
        "link", "node", "pending", "remembered", "round_trips", "way",
    )  # fmt: skip

    def __init__(self, member: Member, latency_ns: int, clock: Clock, startup_ns: int = 0) -> None:
        """latency_ns, startup_ns: of the path itself, and of a message from this end."""
        self.node, self.epoch = member.node, member.epoch
        self.latency_ns = latency_ns + startup_ns
        self.latency_in_ns = latency_ns + member.link.startup_ns
        self.link, self.curve = member.link, curve_of(member.link)
        self.bytes_per_s = member.link.bytes_per_s
        self.way: Way | None = None
        self.credits = Credits(clock, CREDITS_PER_PEER)
        self.pending: dict[int, Any] = {}
        self.arriving: dict[int, Any] = {}
        self.remembered = Remembered()
        self.round_trips = RoundTrips()

    @property
    def there_and_back_ns(self) -> int:
        """Of messages without bytes."""
        return self.latency_ns + self.latency_in_ns

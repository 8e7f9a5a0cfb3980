"""One node's way into the network, and what a path between two such ways costs.

A path is cut through, not stored and forwarded: alone on equal links a message takes latency +
bytes / bandwidth. The sender charges its egress, the receiver its ingress.
"""

from typing import Any

from configs.schema.link import LinkSpec
from workers.host.clock.base import Clock
from workers.wire.egress import Tell, make_egress
from workers.wire.membership import Member
from workers.wire.message import Message


class Link:
    """Egress of one node, and its energy: that of a message is its sender's."""

    def __init__(self, spec: LinkSpec, clock: Clock, tell: Tell) -> None:
        self.spec = spec
        self.egress = make_egress(spec, clock, tell)
        self.joules = 0.0

    def latency_ns(self, other: LinkSpec) -> int:
        """One way between two nodes: the slower of the two links says how long the path is."""
        return max(self.spec.latency_ns, other.latency_ns)

    def leave(self, message: Message[Any], now_ns: int, to: Member) -> None:
        """Charge egress; stamps `sent_ns` and `due_ns` (see Egress)."""
        latency_ns = self.latency_ns(to.link)
        self.egress.leave(message, now_ns, to.incarnation, latency_ns)
        self.joules += message.charged_bytes * 8 * self.spec.pj_per_bit * 1e-12

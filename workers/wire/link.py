"""One node's way into the network: egress and ingress that queue, and the path's latency.

The sender charges its egress and stamps when the first byte left; the receiver charges its ingress
from the moment that byte arrives. A message is cut through, not stored and forwarded: alone on
equal links it takes latency + bytes / bandwidth.

    egress   ──[ first ....... last ]──▶
    ingress        latency ──▶[ first ....... last ] due
"""

from typing import Any

from configs.schema.link import LinkSpec
from workers.hardware.sharing.base import duration_ns
from workers.hardware.sharing.in_order import Fifo
from workers.wire.message import Message


class Link:
    """Egress and ingress of one node. Energy is the sender's."""

    def __init__(self, spec: LinkSpec) -> None:
        self.spec = spec
        self.egress, self.ingress = Fifo(), Fifo()
        self.joules = 0.0

    def latency_ns(self, other: LinkSpec) -> int:
        """One way between two nodes: the slower of the two links says how long the path is."""
        return max(self.spec.latency_ns, other.latency_ns)

    def leave(self, message: Message[Any], now_ns: int, to: LinkSpec) -> None:
        """Charge egress; stamps `sent_ns` (first byte) and `due_ns` (last byte at the far end,
        nobody in the way).
        """
        message.sent_ns = self.egress.begins_ns(now_ns)
        last_ns = self.egress.join(now_ns, self._alone_ns(message))
        message.due_ns = last_ns + self.latency_ns(to)
        self.joules += message.charged_bytes * 8 * self.spec.pj_per_bit * 1e-12

    def arrive(self, message: Message[Any], first_byte_ns: int) -> int:
        """Charge ingress from the first byte's arrival; returns when the message is there."""
        last_ns = self.ingress.join(first_byte_ns, self._alone_ns(message))
        return max(last_ns, message.due_ns)

    def _alone_ns(self, message: Message[Any]) -> int:
        return duration_ns(message.charged_bytes, self.spec.bytes_per_s)

"""One direction of a node's link, shared by all messages on it at once: its egress or its ingress.

The sender starts a flow on its egress when a message leaves, the receiver one on its ingress when
the first byte arrives, and takes in no faster than the sender's link can send. A message is cut
through, not stored and forwarded: it is there when its last byte has left and travelled, and has
been taken in; alone on equal links that takes latency + bytes / bandwidth.

    egress   ──[ first ....... last ]── latency ──▶ ┐
    ingress        latency ──▶[ first ....... last ]─┴─ the later one: there

How messages share it is the link's `sharing`. In order, a message waits for those before it, and
its end is certain when it starts. Fairly, all go on together, each slower for every other one, and
an end is known when it comes.
"""

from configs.schema.link import LinkSpec
from workers.hardware.flows import FairShare
from workers.hardware.sharing.base import Ended, Flow
from workers.hardware.sharing.fair import FairFlow
from workers.hardware.sharing.in_order import Fifo
from workers.host.clock.base import Clock


class Lane:
    """Egress or ingress of one node."""

    __slots__ = ("_bytes_per_s", "_shared")

    def __init__(self, spec: LinkSpec, clock: Clock) -> None:
        self._bytes_per_s = spec.bytes_per_s
        self._shared: Fifo | FairShare = FairShare(clock) if spec.sharing == "fair" else Fifo()

    def begins_ns(self, now_ns: int) -> int:
        """When the first byte of what starts now would move."""
        return self._shared.begins_ns(now_ns)

    def start(
        self, now_ns: int, num_bytes: int, ended: Ended, limit_bytes_per_s: int = 0
    ) -> Flow | None:
        """A message is on the lane from `now_ns` until its last byte has moved.

        limit_bytes_per_s   it moves no faster than this; 0: as fast as the lane
        ended               told the end as soon as it is certain: within this call where messages
                            go in order, else when it comes

        Returns the flow where it may leave again, else None.
        """
        if limit_bytes_per_s >= self._bytes_per_s:
            limit_bytes_per_s = 0
        return self._shared.serve(now_ns, num_bytes, self._bytes_per_s, ended, limit_bytes_per_s)

    def leave(self, now_ns: int, flow: Flow | None) -> None:
        """A message is given up: the others go faster. Nothing happens after its end, nor where
        messages go in order, because what stands in a queue is sent.
        """
        if isinstance(self._shared, FairShare) and isinstance(flow, FairFlow):
            self._shared.leave(now_ns, flow)

    def busy_ns(self, now_ns: int) -> int:
        """How long it has moved bytes until now, as time at its full bandwidth."""
        return self._shared.busy_ns(now_ns)

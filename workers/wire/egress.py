"""A message's way out of a node: when its first byte leaves, and when its last is at the far end.

The far end learns of it with the message, as a promise, or later. Where messages share fairly, only
one that is alone can be promised an end; whoever joins it takes the promise back, and the far end
hears when the last byte has left:

    leave A ──▶ due 900            A is alone: due if nobody comes
    leave B ──▶ A: not known       B: not known either, they share
    A ends  ──▶ A: due 1500        (`Left`, from one emulator to the other: it costs no link)
"""

from collections.abc import Sequence
from typing import Any

from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.lane import Lane
from workers.wire.message import Message
from workers.wire.notes import Tell
from workers.wire.peer import Peer


class Leaving:
    """A message on its way out.

    shared   what was sent of it, where the far end is in this process and sees the very same
             envelopes; None: whoever is there is told by a note
    """

    __slots__ = ("_tell", "message_id", "peer", "shared")

    def __init__(self, message_id: int, peer: Peer, tell: Tell) -> None:
        self.message_id, self.peer, self._tell = message_id, peer, tell
        self.shared: Sequence[Message[Any]] | None = None

    def took_back(self) -> None:
        self._revise(NOT_KNOWN_NS)

    def ended(self, end_ns: int) -> None:
        self._revise(end_ns + self.peer.latency_ns)

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

    def __init__(self, lane: Lane, pj_per_bit: float, tell: Tell) -> None:
        self._lane, self._tell = lane, tell
        self._may_change = not lane.keeps_promises
        self._joules_per_byte = pj_per_bit * 8e-12
        self.joules = 0.0

    def leave(self, message: Message[Any], now_ns: int, peer: Peer) -> Leaving | None:
        """Take a message out. Stamps `sent_ns`, when its first byte leaves, and `due_ns`, when the
        last one is at the far end, nobody there being in the way; NOT_KNOWN_NS where others share.
        Returns what may still change `due_ns`, if anything can.
        """
        leaving = Leaving(message.message_id, peer, self._tell) if self._may_change else None
        num_bytes = message.charged_bytes
        message.sent_ns, end_ns = self._lane.start(now_ns, num_bytes, leaving)
        message.due_ns = end_ns if end_ns == NOT_KNOWN_NS else end_ns + peer.latency_ns
        self.joules += num_bytes * self._joules_per_byte
        return leaving

    def busy_ns(self, now_ns: int) -> int:
        """How long it has moved bytes until now, as time at its full bandwidth."""
        return self._lane.busy_ns(now_ns)

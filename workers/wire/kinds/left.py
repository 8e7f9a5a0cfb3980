"""What one end of an emulated link tells the other about a message between them. No emulated system
sends it: it costs nothing, meets no fault, and no worker sees it.
"""

from dataclasses import dataclass

from workers.wire.kind import Note, kind
from workers.wire.roles import Moment

NOT_KNOWN_NS = -1


@kind("left")
@dataclass(frozen=True, slots=True)
class Left(Note):
    """A message's last byte has left, or a promise of that is taken back.

    message_id   of the message, which went to the same node before
    due_ns       when its last byte is there, nobody being in the way; NOT_KNOWN_NS: not as promised
    """

    message_id: Moment
    due_ns: Moment

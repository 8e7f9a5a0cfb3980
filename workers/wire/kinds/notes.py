"""What the two ends of a wire tell each other about calls between them. No emulated system sends
it: it costs nothing, meets no fault, and no worker sees it.

    call 7 ─────▶ (lost)                         answer 7 (lost) ◀───── running
    overdue 7 ──▶ it never came                  overdue 7 ─────▶ it was answered, by message 31
      ◀── missing 7                                ◀── missing 7, 31
    call 7 ─────▶                                call 7 ────────▶ answered again

Notes keep their place among a node's messages. So whoever hears one knows that what was said
before it has come, or is on its emulated way, or never will.
"""

from dataclasses import dataclass

from workers.wire.kind import Note, kind
from workers.wire.roles import Moment


@kind("overdue")
@dataclass(frozen=True, slots=True)
class Overdue(Note):
    """What became of this call? Whoever has it, or sees it come, says nothing."""

    message_id: Moment


@kind("missing")
@dataclass(frozen=True, slots=True)
class Missing(Note):
    """A call that is overdue.

    answer_id   the message that answered it last; 0: it never came
    """

    message_id: Moment
    answer_id: Moment


@kind("taken")
@dataclass(frozen=True, slots=True)
class Taken(Note):
    """A call is over: nobody will ask for its answer again."""

    message_id: Moment

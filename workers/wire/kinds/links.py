"""What machines tell each other of a network's links, where nodes are processes on several. No
emulated system sends it: it costs nothing, meets no fault, and no worker sees it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from workers.wire.kind import Note, kind
from workers.wire.roles import Array, Role, bookkeeping, free


@kind("links_taken")
@dataclass(frozen=True, slots=True)
class LinksTaken(Note):
    """These messages have left on the sender's machine since it told last: they load links on the
    receiver's as well.

    ways     links' names, their rates and waits (`fabric.shared.starts.SharedWay`)
    starts   [messages, 5] int64: when, ns; bytes; which of the ways; weight; rank
    """

    ways: Annotated[Sequence[Any], bookkeeping()]
    starts: Annotated[Array, Role("tensor", free)]

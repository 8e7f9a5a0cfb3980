"""What a gateway's node tells all others about the faults of their links, and what they say to it.

No emulated system sends it: it costs nothing and meets no fault, or a partition could never be
taken away again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from workers.wire.kind import Note, kind
from workers.wire.roles import Moment, bookkeeping


@kind("faults")
@dataclass(frozen=True, slots=True)
class Faults(Note):
    """These faults stand from now on, and no others.

    number   counts what this incarnation of the gateway has told
    faults   name -> fault, as a scenario has it
    """

    number: Moment
    faults: Annotated[Mapping[str, Any], bookkeeping()]


@kind("faults_stand")
@dataclass(frozen=True, slots=True)
class FaultsStand(Note):
    """What was told under this number stands here."""

    number: Moment

"""What happened to the number of chips. As all events: see `events`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChipAdded:
    """The cluster has one more; it is given work when its node has joined (ChipJoined).

    watermark_blocks   None where whole requests are reserved
    gives_away         what requests grow by leaves for memory servers
    """

    at_ns: int
    chip: str
    role: str
    num_blocks: int
    watermark_blocks: int | None
    gives_away: bool = False


@dataclass(frozen=True, slots=True)
class ChipDrainBegan:
    """It is given nothing new from now on; what it has goes on to its end."""

    at_ns: int
    chip: str


@dataclass(frozen=True, slots=True)
class ChipDrainEnded:
    """It stays after all, and is given work again: it may be another incarnation by now."""

    at_ns: int
    chip: str


@dataclass(frozen=True, slots=True)
class ChipRemoved:
    """One that drained, and has nothing left to end, is no part of the cluster any more."""

    at_ns: int
    chip: str


ScalingEvent = ChipAdded | ChipDrainBegan | ChipDrainEnded | ChipRemoved

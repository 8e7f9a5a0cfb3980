"""What is heard of chips between what they tell. As all events: see `events`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChipSilent:
    """A chip says nothing, also where it is asked. It may live, and hold all that it was given."""

    at_ns: int
    chip: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChipHeard:
    """A silent one says something again."""

    at_ns: int
    chip: str


WatchEvent = ChipSilent | ChipHeard

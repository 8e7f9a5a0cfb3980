"""What processes tell each other of messages: which way, from when on, and how many bytes."""

from dataclasses import dataclass
from typing import NamedTuple

# Who sent it, and its number there.
Tag = tuple[int, int]
# Of messages that left on another machine (`reports`): none of them is told an end here.
ELSEWHERE = -1


class Start(NamedTuple):
    """A message leaves. They are in order of time, and of who sends where times are equal.

    way       number of a SharedWay of the same segment
    weight, rank   as `hardware.sharing.hops.PathFlow` has them
    """

    at_ns: int
    owner: int
    number: int
    num_bytes: int
    way: int
    weight: int
    rank: int

    @property
    def tag(self) -> Tag:
        return self.owner, self.number


@dataclass(frozen=True, slots=True)
class SharedWay:
    """Links that messages cross.

    rates      of each, bytes a second
    waits_ns   as `crossing.Way` has them
    pair       whose messages go this way and are counted under it; ("", ""): counted elsewhere
    """

    names: tuple[str, ...]
    rates: tuple[int, ...]
    waits_ns: tuple[int, ...]
    pair: tuple[str, str] = ("", "")


Ended = tuple[Tag, int]  # when its last byte has crossed all links, ns

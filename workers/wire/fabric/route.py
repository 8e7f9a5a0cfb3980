"""A way through the network between two nodes' own links, and who knows which there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Route:
    """hops        inner links, and switches that move only so much, in order of crossing
    waits_ns    how long after its first port a first byte is at each of them, nobody being in the
                way: latencies of what lies before
    latency_ns  of all inner links and switches
    joules_per_byte   of the inner links
    by_own_links   whether it begins and ends on the nodes' own links: not within a server
    at_switch   whether one of its ends is a switch: half of the own links' latency lies behind it
    """

    hops: tuple[str, ...]
    waits_ns: tuple[int, ...]
    latency_ns: int
    joules_per_byte: float = 0.0
    by_own_links: bool = True
    at_switch: bool = False


class Routes(Protocol):
    """What a topology says of the ways through it.

    rates   of each hop, bytes a second
    """

    @property
    def rates(self) -> Mapping[str, int]: ...

    def latency_ns(self, source: str, destination: str) -> int:
        """Of the first of them."""
        ...

    def between(self, source: str, destination: str) -> Sequence[Route]:
        """Shortest ways from node to node, the one to take first; where nothing is to choose, one.
        They are the same ones each time it is asked.
        """
        ...

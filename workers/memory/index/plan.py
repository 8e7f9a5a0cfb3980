"""A search that is known before it is done: what it reads, and how it is done."""

from collections.abc import Callable
from dataclasses import dataclass

from workers.hardware.work import Work
from workers.memory.hit import Hit

Found = list[list[Hit]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one search of a shard, for all its queries.

    work   the tier that holds the shard -> what the search asks of the machine
    find   the hits of each query, best first
    """

    work: Callable[[str], Work]
    find: Callable[[], Found]

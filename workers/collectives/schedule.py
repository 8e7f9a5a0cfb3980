"""What an algorithm is: rounds of transfers, and what one member of a group does in them.

An operation moves chunks. Of a chunk that is being reduced, each rank has a term of its own; a
transfer carries the terms of its chunks that its source has come to hold, or their sum. A real
system would have added on the way: so a chunk is charged once, however many terms it carries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Transfer:
    """One message.

    chunks   of which it carries all terms that its source holds when it sends
    summed   it carries their sums instead, over all ranks
    own      whether the source's own term goes along
    """

    source: int
    to: int
    chunks: tuple[int, ...]
    summed: bool = False
    own: bool = True


Round = tuple[Transfer, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What one member sends and receives in a round; it sends when all that it was to receive in
    rounds before has come.
    """

    sends: tuple[Transfer, ...] = ()
    receives: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Of `num_ranks` ranks, numbered from 0; a switch that takes part is the number after them.

    num_chunks   that the operation is cut into
    rounds       no member is the source of two transfers to one other in the same round
    """

    num_ranks: int
    num_chunks: int
    rounds: tuple[Round, ...]

    def steps(self, member: int) -> tuple[Step, ...]:
        """A step for each round. It sends to whoever follows it first, so that no two begin with
        the same receiver.
        """
        return _steps(self, member)


@lru_cache(maxsize=4096)
def _steps(schedule: Schedule, member: int) -> tuple[Step, ...]:
    return tuple(_step(schedule, member, transfers) for transfers in schedule.rounds)


def _step(schedule: Schedule, member: int, transfers: Round) -> Step:
    num_members = schedule.num_ranks + 1
    sends = [t for t in transfers if t.source == member]
    sends.sort(key=lambda t: (t.to - member) % num_members)
    receives = [t for t in transfers if t.to == member]
    return Step(tuple(sends), tuple(receives))


def even_parts(total: int, count: int) -> list[tuple[int, int]]:
    """(begin, end) of `count` parts of `total`, as equal as they can be, the larger ones first."""
    share, rest = divmod(total, count)
    ends = [(i + 1) * share + min(i + 1, rest) for i in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def everybody(num_ranks: int) -> Sequence[tuple[int, int]]:
    """All (source, to) that are not the same."""
    return [(r, q) for r in range(num_ranks) for q in range(num_ranks) if r != q]

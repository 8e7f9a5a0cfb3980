"""Along a binary tree, not pipelined: rank r has the children 2 r + 1 and 2 r + 2.

Every message is the whole S bytes. What a parent sends its two children shares its way out, what
they send it shares its way in: a level of two takes a + 2 S / B, one of a single child a + S / B.
So with n ranks a reduction or a broadcast takes at most floor(log2 n) (a + 2 S / B), and an
all-reduce, which is one after the other, twice that.
"""

from workers.collectives.schedule import Round, Schedule, Transfer


def all_reduce(num_ranks: int) -> Schedule:
    """Up to rank 0, and its sum down again."""
    rounds = (*_up(num_ranks), *_down(num_ranks, summed=True))
    return Schedule(num_ranks, 1, rounds)


def broadcast(num_ranks: int) -> Schedule:
    """From rank 0."""
    return Schedule(num_ranks, 1, _down(num_ranks, summed=False))


def reduce(num_ranks: int) -> Schedule:
    """To rank 0."""
    return Schedule(num_ranks, 1, _up(num_ranks))


def _up(num_ranks: int) -> tuple[Round, ...]:
    return tuple(
        tuple(Transfer(child, (child - 1) // 2, (0,)) for child in level)
        for level in reversed(_levels(num_ranks))
    )


def _down(num_ranks: int, *, summed: bool) -> tuple[Round, ...]:
    return tuple(
        tuple(Transfer((child - 1) // 2, child, (0,), summed) for child in level)
        for level in _levels(num_ranks)
    )


def _levels(num_ranks: int) -> list[range]:
    """Ranks below the root, level by level from the top."""
    levels, first = [], 1
    while first < num_ranks:
        levels.append(range(first, min(2 * first + 1, num_ranks)))
        first = 2 * first + 1
    return levels

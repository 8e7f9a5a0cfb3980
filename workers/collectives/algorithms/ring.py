"""Each rank sends to the next one only, a chunk a round (Patarasuk and Yuan, JPDC 2009).

With n ranks, S bytes at B bytes a second and a path of a seconds, of whole messages:

    all_reduce        2 (n - 1) (a + S / (n B))
    reduce_scatter, all_gather    (n - 1) (a + S / (n B))
    all_to_all        the same: in round k each sends to the k-th after it
"""

from workers.collectives.schedule import Round, Schedule, Transfer


def all_reduce(num_ranks: int) -> Schedule:
    """Reduce-scatter, then all-gather of the sums."""
    rounds = (*_rounds(num_ranks, 1, summed=False), *_rounds(num_ranks, 0, summed=True))
    return Schedule(num_ranks, num_ranks, rounds)


def reduce_scatter(num_ranks: int) -> Schedule:
    """Rank r ends with the sum of chunk r, which set out from rank r + 1."""
    return Schedule(num_ranks, num_ranks, _rounds(num_ranks, 1, summed=False))


def all_gather(num_ranks: int) -> Schedule:
    """Rank r begins with chunk r."""
    return Schedule(num_ranks, num_ranks, _rounds(num_ranks, 0, summed=False))


def all_to_all(num_ranks: int) -> Schedule:
    """Chunk n r + q is what rank r has for rank q."""
    rounds = tuple(
        tuple(
            Transfer(r, (r + k) % num_ranks, (num_ranks * r + (r + k) % num_ranks,))
            for r in range(num_ranks)
        )
        for k in range(1, num_ranks)
    )
    return Schedule(num_ranks, num_ranks**2, rounds)


def _rounds(num_ranks: int, first: int, *, summed: bool) -> tuple[Round, ...]:
    """Rank r begins with chunk r - first, and goes on with what came to it the round before."""
    return tuple(
        tuple(
            Transfer(r, (r + 1) % num_ranks, ((r - first - k) % num_ranks,), summed)
            for r in range(num_ranks)
        )
        for k in range(num_ranks - 1)
    )

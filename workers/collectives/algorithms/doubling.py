"""Twice as much every round, with ranks at a distance: shifts instead of the exclusive or of ranks'
numbers, so that any number of ranks is as good as a power of two.

With n ranks, S bytes at B bytes a second and a path of a seconds, of whole messages:

    recursive doubling   ceil(log2 n) (a + S / B)
    halving, doubling    2 ceil(log2 n) a + 2 (n - 1)/n S / B
    reduce_scatter, all_gather    half of that

Recursive doubling is Bar-Noy, Kipnis and Schieber's census (Parallel Computing 19, 1993);
all_gather is Bruck's (IEEE TPDS 8, 1997), reduce_scatter the same backwards (Traeff, arXiv
2410.14234).
"""

from workers.collectives.schedule import Round, Schedule, Transfer


def all_reduce(num_ranks: int) -> Schedule:
    """Recursive doubling. A rank holds its own term and those of the m before it; m grows to 2 m or
    2 m + 1, as the bits of n - 1 say from the highest on. So in the end it is n - 1, and no term
    has come twice: where the one m before sends, it leaves its own term out.
    """
    rounds, held = [], 0
    for bit in f"{num_ranks - 1:b}" if num_ranks > 1 else "":
        with_own = bit == "1"
        distance = held + with_own
        rounds.append(
            tuple(
                Transfer(r, (r + distance) % num_ranks, (0,), own=with_own)
                for r in range(num_ranks)
            )
        )
        held += distance
    return Schedule(num_ranks, 1, tuple(rounds))


def all_reduce_by_halves(num_ranks: int) -> Schedule:
    """Halves, quarters ... are reduced, and their sums come back the same way."""
    rounds = (*reduce_scatter(num_ranks).rounds, *_doubled(num_ranks, summed=True))
    return Schedule(num_ranks, num_ranks, rounds)


def reduce_scatter(num_ranks: int) -> Schedule:
    """Rank r ends with the sum of chunk r: all_gather backwards."""
    rounds = tuple(
        tuple(Transfer(t.to, t.source, t.chunks) for t in transfers)
        for transfers in reversed(_doubled(num_ranks, summed=False))
    )
    return Schedule(num_ranks, num_ranks, rounds)


def all_gather(num_ranks: int) -> Schedule:
    """Rank r begins with chunk r."""
    return Schedule(num_ranks, num_ranks, _doubled(num_ranks, summed=False))


def _doubled(num_ranks: int, *, summed: bool) -> tuple[Round, ...]:
    """A rank has its own chunk and those of the m - 1 before it, and gives as many to the m-th
    after it, or as many as that one lacks.
    """
    rounds, held = [], 1
    while held < num_ranks:
        count = min(held, num_ranks - held)
        rounds.append(
            tuple(
                Transfer(
                    r,
                    (r + held) % num_ranks,
                    tuple((r - back) % num_ranks for back in range(count)),
                    summed,
                )
                for r in range(num_ranks)
            )
        )
        held += count
    return tuple(rounds)

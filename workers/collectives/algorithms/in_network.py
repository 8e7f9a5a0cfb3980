"""A switch adds, and sends the sum to all: the member after the ranks.

It takes whole messages in before any goes out (NVLink SHARP streams: 2 a + S / B). With n ranks,
links of B bytes a second, the switch's of C, and a path of a seconds:

    all_reduce       2 (a + max(S / B, n S / C))
    reduce_scatter   2 a + max(S / B, n S / C) + max(S / (n B), S / C)

The switch's link stands for all of its ports: C is n B where it is like the ranks'.
"""

from workers.collectives.schedule import Schedule, Transfer


def all_reduce(num_ranks: int) -> Schedule:
    """One message of each rank in, one to each out."""
    gathered = tuple(Transfer(r, num_ranks, (0,)) for r in range(num_ranks))
    spread = tuple(Transfer(num_ranks, r, (0,), summed=True) for r in range(num_ranks))
    return Schedule(num_ranks, 1, (gathered, spread))


def reduce_scatter(num_ranks: int) -> Schedule:
    """Rank r ends with the sum of chunk r."""
    every = tuple(range(num_ranks))
    gathered = tuple(Transfer(r, num_ranks, every) for r in range(num_ranks))
    spread = tuple(Transfer(num_ranks, r, (r,), summed=True) for r in range(num_ranks))
    return Schedule(num_ranks, num_ranks, (gathered, spread))

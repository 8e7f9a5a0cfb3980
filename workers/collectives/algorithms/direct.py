"""Everybody to everybody, in one round.

With n ranks, S bytes at B bytes a second and a path of a seconds, of whole messages:

    all_reduce, one shot      a + (n - 1) S / B        each adds all
    all_reduce, two shots     2 (a + (n - 1)/n S / B)  each adds its chunk, and tells the others
    reduce_scatter, all_gather, all_to_all    a + (n - 1)/n S / B
    broadcast, reduce         a + (n - 1) S / B

One and two shots are what serving engines do within a node of switched links (TensorRT-LLM's and
vLLM's custom all-reduce).
"""

from workers.collectives.schedule import Schedule, Transfer, everybody


def all_reduce(num_ranks: int) -> Schedule:
    """One shot: every rank has every term."""
    return Schedule(num_ranks, 1, (tuple(Transfer(r, q, (0,)) for r, q in everybody(num_ranks)),))


def all_reduce_in_two(num_ranks: int) -> Schedule:
    """Two shots."""
    spread = tuple(Transfer(r, q, (r,), summed=True) for r, q in everybody(num_ranks))
    return Schedule(num_ranks, num_ranks, (*reduce_scatter(num_ranks).rounds, spread))


def reduce_scatter(num_ranks: int) -> Schedule:
    """Rank r ends with the sum of chunk r."""
    gathered = tuple(Transfer(r, q, (q,)) for r, q in everybody(num_ranks))
    return Schedule(num_ranks, num_ranks, (gathered,))


def all_gather(num_ranks: int) -> Schedule:
    """Rank r begins with chunk r."""
    spread = tuple(Transfer(r, q, (r,)) for r, q in everybody(num_ranks))
    return Schedule(num_ranks, num_ranks, (spread,))


def all_to_all(num_ranks: int) -> Schedule:
    """Chunk n r + q is what rank r has for rank q."""
    crossed = tuple(Transfer(r, q, (num_ranks * r + q,)) for r, q in everybody(num_ranks))
    return Schedule(num_ranks, num_ranks**2, (crossed,))


def broadcast(num_ranks: int) -> Schedule:
    """From rank 0."""
    return Schedule(num_ranks, 1, (tuple(Transfer(0, q, (0,)) for q in range(1, num_ranks)),))


def reduce(num_ranks: int) -> Schedule:
    """To rank 0."""
    return Schedule(num_ranks, 1, (tuple(Transfer(r, 0, (0,)) for r in range(1, num_ranks)),))

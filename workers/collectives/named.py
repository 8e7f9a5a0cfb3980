"""Algorithms by the name of what they do and their own."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from configs.schema.collectives import Algorithm, Operation
from workers.collectives.algorithms import direct, doubling, in_network, ring, tree
from workers.collectives.schedule import Schedule

SCHEDULES: Mapping[tuple[Operation, Algorithm], Callable[[int], Schedule]] = {
    ("all_reduce", "direct"): direct.all_reduce,
    ("all_reduce", "two_shot"): direct.all_reduce_in_two,
    ("all_reduce", "ring"): ring.all_reduce,
    ("all_reduce", "tree"): tree.all_reduce,
    ("all_reduce", "recursive_doubling"): doubling.all_reduce,
    ("all_reduce", "halving_doubling"): doubling.all_reduce_by_halves,
    ("all_reduce", "in_network"): in_network.all_reduce,
    ("reduce_scatter", "direct"): direct.reduce_scatter,
    ("reduce_scatter", "ring"): ring.reduce_scatter,
    ("reduce_scatter", "halving_doubling"): doubling.reduce_scatter,
    ("reduce_scatter", "in_network"): in_network.reduce_scatter,
    ("all_gather", "direct"): direct.all_gather,
    ("all_gather", "ring"): ring.all_gather,
    ("all_gather", "recursive_doubling"): doubling.all_gather,
    ("all_to_all", "direct"): direct.all_to_all,
    ("all_to_all", "ring"): ring.all_to_all,
    ("broadcast", "direct"): direct.broadcast,
    ("broadcast", "tree"): tree.broadcast,
    ("reduce", "direct"): direct.reduce,
    ("reduce", "tree"): tree.reduce,
}


def algorithms_for(operation: Operation) -> tuple[Algorithm, ...]:
    """Those that do it."""
    return tuple(algorithm for op, algorithm in SCHEDULES if op == operation)


@lru_cache(maxsize=1024)
def schedule_of(operation: Operation, algorithm: Algorithm, num_ranks: int) -> Schedule:
    """Raises ValueError where no such algorithm does that, or nobody is there."""
    make = SCHEDULES.get((operation, algorithm))
    if make is None:
        known = ", ".join(algorithms_for(operation))
        raise ValueError(f"{operation} by {algorithm!r}: there is no such algorithm; {known} are")
    if num_ranks < 1:
        raise ValueError(f"{operation} of {num_ranks} ranks: there must be one at least")
    return make(num_ranks)

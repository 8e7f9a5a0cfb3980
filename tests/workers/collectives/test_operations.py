"""The other operations: what each rank is given."""

import numpy as np
import pytest

from configs.schema.collectives import Algorithm
from tests.workers.collectives.ranks import run, shares, switch_for
from workers.collectives import operations
from workers.collectives.named import SCHEDULES
from workers.collectives.schedule import even_parts
from workers.model.digest.numerics import Digest
from workers.model.digest.shape import KvSizes
from workers.model.numerics import EXACT_NUMERICS, total

DEGREES = [1, 2, 3, 5, 8]


def algorithms(operation: str) -> list[Algorithm]:
    return [algorithm for op, algorithm in SCHEDULES if op == operation]


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms("reduce_scatter"))
def test_each_rank_has_its_part_of_the_sum(algorithm: Algorithm, num_ranks: int) -> None:
    partials = shares(num_ranks, 3, 7)

    async def ask(group, rank):
        return await operations.reduce_scatter(group, algorithm, partials[rank])

    sums = total(EXACT_NUMERICS, partials).reshape(-1)
    parts = run(num_ranks, ask, switch=switch_for("reduce_scatter", algorithm))
    for part, (begin, end) in zip(parts, even_parts(21, num_ranks), strict=True):
        assert np.array_equal(part, sums[begin:end])


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms("all_gather"))
def test_each_rank_has_all_parts(algorithm: Algorithm, num_ranks: int) -> None:
    """They may differ in size."""
    parts = [np.arange(rank + 1, dtype=np.int32) for rank in range(num_ranks)]

    async def ask(group, rank):
        return await operations.all_gather(group, algorithm, parts[rank], parts[rank].nbytes)

    for received in run(num_ranks, ask, through_frames=True):
        assert [part.tolist() for part in received] == [part.tolist() for part in parts]


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms("all_to_all"))
def test_each_rank_has_what_was_for_it(algorithm: Algorithm, num_ranks: int) -> None:
    async def ask(group, rank):
        parts = [np.array([10 * rank + to]) for to in range(num_ranks)]
        return await operations.all_to_all(group, algorithm, parts, [8] * num_ranks)

    for rank, received in enumerate(run(num_ranks, ask)):
        assert [int(part[0]) for part in received] == [10 * r + rank for r in range(num_ranks)]


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms("broadcast"))
def test_all_have_what_the_first_had(algorithm: Algorithm, num_ranks: int) -> None:
    async def ask(group, rank):
        part = np.arange(5) if rank == 0 else None
        return await operations.broadcast(group, algorithm, part, 40 if rank == 0 else 0)

    assert all(np.array_equal(part, np.arange(5)) for part in run(num_ranks, ask))


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms("reduce"))
def test_the_first_has_the_sum(algorithm: Algorithm, num_ranks: int) -> None:
    partials = shares(num_ranks, 2, 3)

    async def ask(group, rank):
        return await operations.reduce(group, algorithm, partials[rank])

    first, *others = run(num_ranks, ask)
    assert np.array_equal(first, total(EXACT_NUMERICS, partials))
    assert others == [None] * (num_ranks - 1)


def test_digests_add_modulo_two_to_the_64() -> None:
    numerics = Digest(4_096, 4_096, KvSizes(1, 1, 1, 1))
    digests = [np.full(3, 2**63 + rank, np.uint64) for rank in range(3)]

    async def ask(group, rank):
        return await operations.all_reduce(group, "ring", digests[rank])

    for sums in run(3, ask, numerics=numerics):
        assert sums.tolist() == [2**63 + 3] * 3

"""Sums over ranks: the same bits on each, whatever the algorithm and the degree."""

from typing import Any

import numpy as np
import pytest

from configs.schema.collectives import Algorithm
from tests.workers.collectives.ranks import run, shares, switch_for
from workers.chip.ways import Reducer
from workers.collectives.member import AllReduce
from workers.collectives.named import algorithms_for
from workers.hardware.energy.phase import Phase
from workers.model.numerics import EXACT_NUMERICS, Real, total

DEGREES = [1, 2, 3, 4, 5, 6, 7, 8, 16]


class _Batch:
    cause = Phase.DECODE


BATCH: Any = _Batch()


@pytest.mark.parametrize("num_ranks", DEGREES)
@pytest.mark.parametrize("algorithm", algorithms_for("all_reduce"))
@pytest.mark.parametrize(("num_tokens", "width"), [(3, 8), (1, 5)])
def test_the_sum_is_that_in_the_order_of_the_ranks(
    algorithm: Algorithm, num_ranks: int, num_tokens: int, width: int
) -> None:
    """Also where there are fewer entries than ranks."""
    partials = shares(num_ranks, num_tokens, width)

    async def ask(group, rank):
        reducer: Reducer = AllReduce(group, algorithm)
        return await reducer.send(BATCH, partials[rank])

    expected = total(EXACT_NUMERICS, partials)
    received = run(num_ranks, ask, switch=switch_for("all_reduce", algorithm))
    assert all(sums.dtype == np.float64 and sums.shape == expected.shape for sums in received)
    assert all(np.array_equal(sums, expected) for sums in received)


def test_another_order_would_show() -> None:
    """So the test above can fail."""
    partials = shares(5, 3, 8)
    turned = partials[1:] + partials[:1]
    assert not np.array_equal(total(EXACT_NUMERICS, partials), total(EXACT_NUMERICS, turned))


@pytest.mark.parametrize("algorithm", algorithms_for("all_reduce"))
def test_frames_and_bf16_give_the_same(algorithm: Algorithm) -> None:
    bf16 = Real("bf16", "bf16", 8)
    partials = [share.astype(np.float32) for share in shares(3, 3, 8)]

    async def ask(group, rank):
        return await AllReduce(group, algorithm).send(BATCH, partials[rank])

    expected = total(bf16, [bf16.answered(share) for share in partials])
    switch = switch_for("all_reduce", algorithm)
    for sums in run(3, ask, switch=switch, numerics=bf16, through_frames=True):
        assert np.array_equal(sums, expected)

"""On the wall's clock, where tasks of a late host have times of their own: the same bits."""

import asyncio
import time

import numpy as np
import pytest

from tests.workers.bench import Bench
from tests.workers.collectives.ranks import SWITCH, Ranks, names, shares, switch_for
from workers.collectives import operations
from workers.collectives.named import algorithms_for
from workers.host.clock.live import LiveClock
from workers.model.numerics import EXACT_NUMERICS, total

DEGREE, ROUNDS = 3, 4


@pytest.mark.parametrize("emulated", [True, False], ids=["paced", "as it comes"])
def test_sums_are_those_of_the_virtual_world(emulated: bool) -> None:
    """Every algorithm a few times, two at once as of two micro-batches, through frames."""
    partials = shares(DEGREE, 2, 5)
    expected = total(EXACT_NUMERICS, partials)

    async def job(bench: Bench) -> None:
        for algorithm in algorithms_for("all_reduce"):
            if algorithm == "in_network":
                continue
            for _ in range(ROUNDS):
                begun = [
                    await operations.all_reduce(group, algorithm, partials[group.me])
                    for _ in range(2)
                    for group in ranks[0].groups
                ]
                for one in begun:
                    assert np.array_equal(await one.receive(), expected)

    async def adding(bench: Bench) -> None:
        for _ in range(ROUNDS):
            received = await ranks[0].ask(
                lambda group, rank: operations.all_reduce(group, "in_network", partials[rank])
            )
            assert all(np.array_equal(sums, expected) for sums in received)

    ranks: list[Ranks] = []

    async def main() -> None:
        for switch, what in ((None, job), (switch_for("all_reduce", "in_network"), adding)):
            clock = LiveClock(time.monotonic_ns(), 100.0, emulated=emulated)
            try:
                bench = Bench(*names(DEGREE), SWITCH, clock=clock, through_frames=True)
                ranks[:] = [Ranks(bench, DEGREE, switch)]
                await bench.stand(what)
                assert not bench.failures
            finally:
                clock.close()

    asyncio.run(main())

"""Emulated time by hand: a byte a nanosecond and 1 us on the way, 400 bytes of sums a rank. A piece
has a head of 64 + 2 + 8 + 4 bytes; the 64 bytes that answer it share the way out with the next.
"""

import numpy as np
import pytest

from configs.schema.collectives import Algorithm
from tests.workers.bench import BYTES_PER_S, Bench, make_link
from tests.workers.collectives.ranks import SWITCH, Ranks, names, switch_for
from workers.collectives import operations

HEAD = 64 + 2 + 8 + 4


@pytest.mark.parametrize(
    ("algorithm", "num_ranks", "expected_ns"),
    [
        ("direct", 3, 1_000 + 2 * (400 + HEAD)),
        ("two_shot", 4, 2 * (1_000 + 3 * (100 + HEAD)) + 3 * 64),
        ("ring", 4, 6 * (1_000 + 100 + HEAD) + 5 * 64),
        # 0 hears 1 and 2 at once, answers both, and its two pieces share its way out.
        ("tree", 3, 2 * (1_000 + 2 * (400 + HEAD)) + 2 * 64),
        ("recursive_doubling", 5, 3 * (1_000 + 400 + HEAD) + 2 * 64),
        # 5 = 1 + 1 + 2 + 1: parts of 80 bytes, there and back
        ("halving_doubling", 5, 6 * (1_000 + HEAD) + 2 * (1 + 2 + 1) * 80 + 5 * 64),
        ("in_network", 4, 2 * (1_000 + 400 + HEAD) + 64),
    ],
)
def test_all_reduce_takes_what_hand_arithmetic_says(
    algorithm: Algorithm, num_ranks: int, expected_ns: int
) -> None:
    async def job(bench: Bench) -> int:
        ranks = Ranks(bench, num_ranks, switch_for("all_reduce", algorithm))
        await ranks.ask(
            lambda group, rank: operations.all_reduce(group, algorithm, np.ones((4, 25)))
        )
        return bench.clock.now()

    switch = {SWITCH: make_link(bytes_per_s=num_ranks * BYTES_PER_S)}
    took_ns = Bench(*names(num_ranks), SWITCH, links=switch).run(job)
    assert abs(took_ns - expected_ns) <= 2, "a nanosecond of rounding where a lane is shared"

"""What a chip offers to the pool: each block once, and again where it did not get there."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.workers.bench import Bench
from tests.workers.chip.driver import SIZE, chip_with
from tests.workers.memory.test_memory_server import stand
from tests.workers.wire.calls import Each
from workers.chip.sequence import Sequence
from workers.host.trace import Delivered
from workers.kv.pool_client import PoolClient
from workers.wire.rules import Drop

# A block of 2 tokens, of 3 numbers each.
MODEL: Any = SimpleNamespace(
    block_bytes=24,
    kv_tier="ddr",
    read_blocks=lambda ids: np.ones((len(ids), SIZE, 3), np.float32),
)
TIMEOUT_NS = 10_000_000


@pytest.mark.parametrize(
    ("pool_bytes", "is_lost", "num_told", "num_failures"),
    [(1 << 20, False, 1, 0), (0, False, 3, 0), (1 << 20, True, 0, 3)],
    ids=["taken", "refused", "lost"],
)
def test_what_the_pool_did_not_take_is_offered_again(
    pool_bytes: int, is_lost: bool, num_told: int, num_failures: int
) -> None:
    """Three times the same two full blocks: a pool that has them hears of them once, one without
    room each time. Where no call gets there, each time fails.
    """
    bench, _ = stand(pool_bytes=pool_bytes)

    async def job(bench: Bench) -> None:
        chip, seq = chip_with(), Sequence("s", range(5), 9)
        chip.scheduler.add(seq)
        chip.turn()
        node = bench.node("chip")
        if is_lost:
            node.endpoint.rules["lost"] = Each(lambda _, __: Drop())
        client = PoolClient(node, bench.port("chip"), MODEL, ("memory",), TIMEOUT_NS)
        for _ in range(3):
            client.store(chip.scheduler, seq)
            await bench.clock.wait_until(bench.clock.now() + 2 * TIMEOUT_NS)
            assert chip.scheduler.blocks.num_pinned == 0
        delivered = [r for r in node.trace.records if isinstance(r, Delivered)]
        assert [r.kind for r in delivered].count("pool_put") == num_told
        assert client.num_failures == num_failures

    bench.run(job)


def test_what_has_left_for_the_servers_is_not_offered() -> None:
    """Of two full blocks the first lies beside memory by now (`placement.kv_near`)."""
    bench, server = stand(pool_bytes=1 << 20)

    async def job(bench: Bench) -> None:
        chip, seq = chip_with(), Sequence("s", range(5), 9)
        chip.scheduler.add(seq)
        chip.turn()
        chip.scheduler.give_away("s", 1)
        client = PoolClient(bench.node("chip"), bench.port("chip"), MODEL, ("memory",), TIMEOUT_NS)
        client.store(chip.scheduler, seq)
        await bench.clock.wait_until(bench.clock.now() + 2 * TIMEOUT_NS)
        assert chip.scheduler.blocks.num_pinned == 0
        chip.scheduler.check_integrity()
        first, second = seq.full_block_hashes()
        assert [server.pool.contains(key) for key in (first, second)] == [False, True]

    bench.run(job)

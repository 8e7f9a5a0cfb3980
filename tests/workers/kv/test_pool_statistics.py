"""What a pool counts of itself, worked by hand."""

from dataclasses import asdict

import pytest

from tests.workers.kv.test_pool import (
    BLOCK_BYTES,
    block_of,
    blocks_of,
    filled,
    key_of,
    keys_of,
    rot,
)
from workers.errors import CorruptMessage, NotFound
from workers.kv.identity import block_checksum
from workers.kv.pool import BlockPool


def test_each_use_is_counted_once() -> None:
    """Room for two blocks. Two are put, one of them again; both are read; a third one makes the
    oldest go, which is missed then; a fourth one, too large for any pool, is refused.
    """
    pool = BlockPool(2 * BLOCK_BYTES)
    pool.put(keys_of(1, 2), blocks_of(1, 2))
    pool.put(keys_of(1), blocks_of(1))
    pool.get(keys_of(1, 2))
    pool.put(keys_of(3), blocks_of(3))
    with pytest.raises(NotFound):
        pool.get(keys_of(2))
    pool.put(keys_of(4), [block_of(4).repeat(9)])
    assert asdict(pool.statistics) == {
        "num_new": 3, "num_known": 1, "num_evicted": 1, "num_refused": 1,
        "num_hits": 2, "num_misses": 1,
        "num_conflicts": 0, "num_corrupt": 0, "shared_bytes": BLOCK_BYTES,
    }  # fmt: skip


def test_corruption_is_counted_on_the_way_and_inside() -> None:
    """One put with a wrong checksum, one block that changed while it was held."""
    pool = filled(1)
    with pytest.raises(CorruptMessage):
        pool.put(keys_of(2), blocks_of(2), [block_checksum(block_of(2), key_of(2)) ^ 1])
    assert pool.statistics.num_corrupt == 1
    rot(pool, 1)
    with pytest.raises(CorruptMessage):
        pool.get([key_of(1)])
    assert (pool.statistics.num_corrupt, pool.statistics.num_hits) == (2, 0)

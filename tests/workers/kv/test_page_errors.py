"""A memory error: one bit of one block, found by whoever reads it next, and counted by nobody."""

import numpy as np
import pytest

from workers.errors import CorruptMessage
from workers.kv.page_errors import damage
from workers.kv.pool import BlockPool

KEYS = [bytes([number]) * 16 for number in range(4)]


def full() -> BlockPool:
    pool = BlockPool(1 << 20)
    pool.put(KEYS, [np.arange(8, dtype=np.float32) + number for number in range(4)])
    return pool


@pytest.mark.parametrize(("share", "hit"), [(0.0, 0), (0.3, 1), (0.5, 2), (0.999, 3)])
def test_one_bit_of_the_block_that_is_drawn_is_another(share: float, hit: int) -> None:
    pool = full()
    held = [pool._store[key].array.copy() for key in KEYS]
    order = list(pool._store)
    key = damage(pool, share)
    assert key == order[hit].hex()
    changed = [
        int(np.unpackbits(held[i].view(np.uint8) ^ pool._store[KEYS[i]].array.view(np.uint8)).sum())
        for i in range(4)
    ]
    assert sum(changed) == 1 and changed[KEYS.index(order[hit])] == 1
    assert list(pool._store) == order and pool.statistics.num_hits == 0


def test_whoever_reads_it_is_told_and_a_later_put_heals_it() -> None:
    pool = full()
    key = bytes.fromhex(damage(pool, 0.7))
    with pytest.raises(CorruptMessage, match=key.hex()):
        pool.get([key])
    assert not pool.contains(key) and pool.statistics.num_corrupt == 1
    number = KEYS.index(key)
    pool.put([key], [np.arange(8, dtype=np.float32) + number])
    assert pool.get([key])[0][0] == number


def test_an_empty_pool_has_none() -> None:
    assert damage(BlockPool(1 << 20), 0.5) == ""

"""A pool never exceeds its capacity, never loses a pinned block, never returns changed bytes."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers.errors import CorruptMessage, NotFound
from workers.kv.identity import block_checksum
from workers.kv.pool import BlockPool

BLOCK_BYTES = 32
CAPACITY_BLOCKS = 6


def key_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def block_of(number: int) -> np.ndarray:
    return np.full((2, 4), number, np.float32)


def keys_of(*numbers: int) -> list[bytes]:
    return [key_of(n) for n in numbers]


def blocks_of(*numbers: int) -> list[np.ndarray]:
    return [block_of(n) for n in numbers]


def filled(*numbers: int, capacity: int = CAPACITY_BLOCKS) -> BlockPool:
    pool = BlockPool(capacity * BLOCK_BYTES)
    assert pool.put(keys_of(*numbers), blocks_of(*numbers)).new == tuple(keys_of(*numbers))
    return pool


def rot(pool: BlockPool, number: int) -> None:
    """Change a held block behind the pool's back, as failing memory would."""
    array = pool._store[key_of(number)].array
    array.flags.writeable = True
    array.flat[0] += 1


CHAINS = st.lists(st.integers(0, 11), max_size=5, unique=True)


class PoolMachine(RuleBasedStateMachine):
    """Against a naive model: a list of keys from least to most recently used, and pin counts."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(CAPACITY_BLOCKS * BLOCK_BYTES)
        self.order: list[int] = []
        self.pins: dict[int, int] = {}

    def touch(self, numbers: list[int]) -> None:
        for number in reversed(numbers):
            if number in self.order:
                self.order.remove(number)
                self.order.append(number)

    @rule(numbers=CHAINS)
    def put(self, numbers: list[int]) -> None:
        self.touch(numbers)
        new, known, refused, evicted = [], [], [], []
        for number in numbers:
            if number in self.order:
                known.append(number)
                continue
            if len(self.order) == CAPACITY_BLOCKS and not refused:
                free = [n for n in self.order if n not in self.pins and n not in numbers]
                if free:
                    self.order.remove(free[0])
                    evicted.append(free[0])
            if len(self.order) < CAPACITY_BLOCKS and not refused:
                self.order.append(number)
                new.append(number)
            else:
                refused.append(number)
        self.touch(numbers)
        result = self.pool.put(keys_of(*numbers), blocks_of(*numbers))
        assert result.new == tuple(keys_of(*new))
        assert result.known == tuple(keys_of(*known))
        assert result.refused == tuple(keys_of(*refused))
        assert result.evicted == tuple(keys_of(*evicted))

    @rule(numbers=CHAINS)
    def get(self, numbers: list[int]) -> None:
        if all(n in self.order for n in numbers):
            found = self.pool.get(keys_of(*numbers))
            for number, block in zip(numbers, found, strict=True):
                np.testing.assert_array_equal(block, block_of(number))
                assert not block.flags.writeable
            self.touch(numbers)
        else:
            with pytest.raises(NotFound):
                self.pool.get(keys_of(*numbers))

    @rule(numbers=CHAINS)
    def pin(self, numbers: list[int]) -> None:
        if all(n in self.order for n in numbers):
            self.pool.pin(keys_of(*numbers))
            for number in numbers:
                self.pins[number] = self.pins.get(number, 0) + 1
        else:
            with pytest.raises(NotFound):
                self.pool.pin(keys_of(*numbers))

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.pins)))
        self.pool.unpin([key_of(number)])
        self.pins[number] -= 1
        if self.pins[number] == 0:
            del self.pins[number]
            self.touch([number])

    @rule(numbers=CHAINS)
    def drop(self, numbers: list[int]) -> None:
        gone = [n for n in numbers if n in self.order and n not in self.pins]
        assert self.pool.drop(keys_of(*numbers)) == len(gone)
        self.order = [n for n in self.order if n not in gone]

    @rule(numbers=CHAINS)
    def longest_prefix(self, numbers: list[int]) -> None:
        held = 0
        while held < len(numbers) and numbers[held] in self.order:
            held += 1
        assert self.pool.longest_prefix(keys_of(*numbers)) == held

    @invariant()
    def adds_up(self) -> None:
        self.pool.check_integrity()
        assert self.pool.num_blocks == len(self.order)
        assert self.pool.bytes_held == len(self.order) * BLOCK_BYTES
        assert self.pool.num_pinned == len(self.pins)
        assert all(self.pool.contains(key_of(n)) for n in self.order)


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestPoolMachine = PoolMachine.TestCase


def test_a_shared_prefix_is_stored_once():
    pool = filled(1, 2, 3)
    result = pool.put(keys_of(1, 2, 4), blocks_of(1, 2, 4))
    assert result.known == tuple(keys_of(1, 2))
    assert result.new == (key_of(4),)
    assert pool.bytes_held == 4 * BLOCK_BYTES
    assert pool.statistics.shared_bytes == 2 * BLOCK_BYTES


def test_the_end_of_a_prefix_goes_before_its_beginning():
    pool = filled(1, 2, 3, 4, 5, 6)
    assert pool.put(keys_of(7, 8), blocks_of(7, 8)).evicted == tuple(keys_of(6, 5))
    assert pool.longest_prefix(keys_of(1, 2, 3, 4, 5, 6)) == 4


def test_what_does_not_fit_is_refused_from_the_end():
    pool = BlockPool(2 * BLOCK_BYTES)
    result = pool.put(keys_of(1, 2, 3), blocks_of(1, 2, 3))
    assert result.new == tuple(keys_of(1, 2))
    assert result.refused == (key_of(3),)
    assert BlockPool(0).put([key_of(1)], [block_of(1)]).refused == (key_of(1),)


def test_nothing_follows_a_gap():
    pool = BlockPool(2 * BLOCK_BYTES)
    result = pool.put(keys_of(1, 2, 3), [block_of(1), np.zeros(64, np.float32), block_of(3)])
    assert result.new == (key_of(1),)
    assert result.refused == tuple(keys_of(2, 3))


def test_a_put_that_cannot_fit_evicts_nothing():
    pool = filled(1, 2, capacity=2)
    result = pool.put([key_of(3)], [np.zeros(64, np.float32)])
    assert (result.refused, result.evicted) == ((key_of(3),), ())
    assert pool.num_blocks == 2


def test_a_digest_is_charged_as_the_block_that_it_stands_for():
    pool = BlockPool(1000)
    digests = [np.array([i], np.uint64) for i in range(3)]
    result = pool.put(keys_of(1, 2, 3), digests, charged_bytes=400)
    assert result.refused == (key_of(3),)
    assert pool.bytes_held == 800


def test_the_pool_keeps_its_own_copy():
    block = block_of(1)
    pool = BlockPool(BLOCK_BYTES)
    pool.put([key_of(1)], [block])
    block[:] = 9
    np.testing.assert_array_equal(pool.get([key_of(1)])[0], block_of(1))


def test_a_block_that_changed_on_its_way_is_refused():
    pool = BlockPool(10 * BLOCK_BYTES)
    sums = [block_checksum(block_of(n), key_of(n)) for n in (1, 2)]
    sums[1] ^= 1
    with pytest.raises(CorruptMessage, match="on its way"):
        pool.put(keys_of(1, 2), blocks_of(1, 2), sums)
    assert pool.num_blocks == 0
    assert pool.put(keys_of(1), blocks_of(1), sums[:1]).new == (key_of(1),)
    assert pool.checksums(keys_of(1)) == sums[:1]


def test_a_block_that_changed_in_the_pool_is_dropped_and_can_be_healed():
    pool = filled(1, 2)
    pool.pin([key_of(2)])
    for number in (1, 2):
        rot(pool, number)
        with pytest.raises(AssertionError, match="changed"):
            pool.check_integrity()
        with pytest.raises(CorruptMessage, match=key_of(number).hex()):
            pool.get([key_of(number)])
        assert not pool.contains(key_of(number))
        pool.check_integrity()
    assert pool.put(keys_of(1, 2), blocks_of(1, 2)).new == tuple(keys_of(1, 2))
    assert pool.num_pinned == 1
    pool.unpin([key_of(2)])
    assert (pool.num_pinned, pool.clear(), pool.bytes_held) == (0, 2, 0)


def test_other_content_under_a_known_key_is_counted_and_the_first_stays():
    pool = filled(1)
    assert pool.put([key_of(1)], [block_of(5)]).known == (key_of(1),)
    assert pool.statistics.num_conflicts == 1
    np.testing.assert_array_equal(pool.get([key_of(1)])[0], block_of(1))


def test_misuse_is_refused():
    pool = filled(1)
    with pytest.raises(ValueError, match="must have 16"):
        pool.put([b"short"], [block_of(1)])
    with pytest.raises(ValueError, match="2 keys for 1 blocks"):
        pool.put(keys_of(1, 2), blocks_of(1))
    with pytest.raises(ValueError, match="has 0 pins"):
        pool.unpin([key_of(1)])
    with pytest.raises(ValueError, match="capacity_bytes is -1"):
        BlockPool(-1)
    with pytest.raises(NotFound):
        pool.checksums([key_of(9)])

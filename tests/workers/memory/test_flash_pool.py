"""A pool in a flash file: content, order and wear outlive a crash; damage is never served."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.memory.flash_pools import (
    BLOCK_PAGES,
    BLOCKS_MOST,
    GEOMETRY,
    NAME,
    PAGE_BYTES,
    block_of,
    flip,
    held,
    key_of,
    opened,
    put,
    there,
)
from workers.errors import CorruptMessage, NotFound
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.memory.block_pages import decode, encode
from workers.memory.flash_pool import FlashPool


def crash(disk: MemoryDisk, seed: int) -> None:
    rng = Rng(seed)
    disk.crash(lambda name: rng.uniform("torn", name))


@pytest.mark.parametrize("seed", range(5))
def test_what_was_put_is_there_after_a_crash_with_its_wear(seed: int) -> None:
    disk = MemoryDisk()
    pool = opened(disk)
    for first in range(0, 60, 4):
        assert put(pool, *range(first, first + 4)) == 4
    pool.check_integrity()
    assert len(held(pool, 60)) == BLOCKS_MOST
    erases = pool.flash.erases
    assert sum(erases) > 0
    crash(disk, seed)
    again = opened(disk)
    assert there(again, 60) == there(pool, 60)
    assert again.num_found == again.num_blocks == BLOCKS_MOST
    assert again.flash.erases == erases
    assert again.bytes_held == BLOCKS_MOST * BLOCK_PAGES * PAGE_BYTES
    again.check_integrity()


def test_the_end_of_a_prefix_goes_before_its_beginning_after_a_restart_too() -> None:
    disk = MemoryDisk()
    put(opened(disk), *range(BLOCKS_MOST))
    again = opened(disk)
    assert put(again, 50) == 1
    assert held(again, 51) == [*range(BLOCKS_MOST - 1), 50]
    put(again, 51)
    assert there(opened(disk), 52) == [*range(BLOCKS_MOST - 2), 50, 51]


def test_a_put_that_is_cut_short_leaves_no_part_of_a_block() -> None:
    """A block of 3 batches of 4 pages; the disk fails at each sync in turn."""
    large = np.arange(1_200, dtype=np.float32)
    failures = 0
    for fails_at in range(1, 9):
        disk = FailingDisk()
        pool = opened(disk)
        put(pool, 1)
        disk.left = fails_at
        try:
            pool.put([key_of(2)], [large])
        except OSError:
            failures += 1
            assert not pool.contains(key_of(2))
        disk.left = 1 << 30
        crash(disk, fails_at)
        again = opened(disk)
        assert there(again, 2) == [1]
        if again.contains(key_of(2)):  # its last sync was done, or all was there without
            assert np.array_equal(again.get([key_of(2)])[0], large)
        again.check_integrity()
    assert 2 < failures < 8


class FailingDisk(MemoryDisk):
    """Its syncs fail once `left` of them are done."""

    left = 1 << 30

    def sync(self, name: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError("the disk is gone")
        if self.left > 0:
            super().sync(name)


def test_a_flipped_byte_is_never_served_whatever_part_it_is_of() -> None:
    """Each 37th byte of the pages of the second of three blocks, found at once and by a restart."""
    first = GEOMETRY.page_offset(BLOCK_PAGES)
    last = GEOMETRY.page_offset(2 * BLOCK_PAGES - 1) + GEOMETRY.raw_page_bytes
    keys, places = [key_of(v) for v in range(3)], range(first, last, 37)
    for offset in places:
        disk = MemoryDisk()
        pool = opened(disk)
        put(pool, 0, 1, 2)
        flip(disk, offset)
        # Between the pages of two blocks lie the erase records: those are nobody's page.
        if there_is_all(pool, keys):
            assert GEOMETRY.page_offset(3) + 1024 <= offset < GEOMETRY.page_offset(4)
            continue
        assert (pool.num_blocks, pool.statistics.num_corrupt) == (2, 1)
        assert len(pool.leading(keys).blocks) == 1, "a prefix ends where a block is gone"
        again = opened(disk)
        assert there(again, 3) == [0, 2]
        assert again.num_damaged == 1
        assert put(again, 1) == 1, "writing it again heals it"
        assert there(again, 3) == [0, 1, 2]
        again.check_integrity()


def there_is_all(pool: FlashPool, keys: list[bytes]) -> bool:
    blocks = pool.leading(keys).blocks
    assert all(np.array_equal(block, block_of(v)) for v, block in enumerate(blocks))
    return len(blocks) == len(keys)


def test_damage_is_told_as_any_pool_tells_it() -> None:
    disk = MemoryDisk()
    pool = opened(disk)
    put(pool, 1)
    flip(disk, GEOMETRY.page_offset(1) + 100)
    with pytest.raises(CorruptMessage, match="changed while the pool held it"):
        pool.get([key_of(1)])
    with pytest.raises(NotFound):
        pool.get([key_of(1)])
    assert pool.statistics.num_misses == 1


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.lists(st.integers(0, 20), min_size=1, max_size=6)),
            st.tuples(st.just("drop"), st.lists(st.integers(0, 20), min_size=1, max_size=3)),
            st.tuples(st.just("crash"), st.lists(st.integers(0, 99), min_size=1, max_size=1)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_happens_what_is_there_is_what_was_put(todo: list[tuple[str, list[int]]]) -> None:
    disk = MemoryDisk()
    pool, here = opened(disk), set[int]()
    for what, values in todo:
        keys = [key_of(v) for v in values]
        if what == "crash":
            crash(disk, values[0])
            pool = opened(disk)
        elif what == "drop":
            pool.drop(keys)
            here -= set(values)
        else:
            result = pool.put(keys, [block_of(v) for v in values])
            assert not result.refused
            here = here - {int.from_bytes(key, "big") for key in result.evicted} | set(values)
        pool.check_integrity()
        assert there(pool, 21) == sorted(here)


def test_a_worn_flash_holds_less_and_refuses_in_words() -> None:
    """Until it takes no block, 20 times in turn; a put during which it shrinks may be refused
    before that. All that is served is what was put, and what is there then stays.
    """
    disk = MemoryDisk()
    pool = opened(disk, replace(GEOMETRY, endurance_cycles=40, endurance_spread=0.3))
    capacities, value, in_turn = {pool.flash.capacity_pages}, 0, 0
    while in_turn < 20:
        in_turn = 0 if put(pool, value) else in_turn + 1
        value += 1
        capacities.add(pool.flash.capacity_pages)
        assert value < 10_000
    assert max(capacities) == 40 and len(capacities) > 10 and min(capacities) < BLOCK_PAGES
    assert 20 <= pool.statistics.num_refused < 30
    assert pool.flash.num_bad_blocks > 0
    assert "no room to write 3 pages" in pool.refusal
    assert f"{pool.flash.num_bad_blocks} of 13 blocks are out of service" in pool.refusal
    assert there(pool, value) == there(opened(disk, pool.flash.geometry), value)
    assert there(pool, value), "what it holds stays readable"


class CountingDisk(MemoryDisk):
    num_read = 0

    def read_at(self, name: str, offset: int, num_bytes: int) -> bytes:
        self.num_read += num_bytes
        return super().read_at(name, offset, num_bytes)


def test_opening_reads_the_file_at_most_twice() -> None:
    """Once to find its pages, and once what is held; however old it is."""
    for rounds in (1, 40):
        disk = CountingDisk()
        pool = opened(disk)
        for value in range(rounds * BLOCKS_MOST):
            put(pool, value)
        disk.num_read = 0
        assert opened(disk).num_found >= BLOCKS_MOST - 1
        assert GEOMETRY.file_bytes * 0.9 < disk.num_read < 2.1 * GEOMETRY.file_bytes
    assert disk.size_bytes(NAME) == GEOMETRY.file_bytes


def test_a_larger_pool_than_is_allowed_is_found_with_its_newest() -> None:
    disk = MemoryDisk()
    put(opened(disk), *range(8))
    again = opened(disk, most_bytes=2 * BLOCK_PAGES * PAGE_BYTES)
    assert there(again, 8) == [0, 1]
    again.check_integrity()


def test_pages_of_another_block_make_none() -> None:
    one, other = (encode(key_of(v), block_of(v), 7 * v, 1, PAGE_BYTES) for v in (1, 2))
    for pages in ([one[0], other[1], one[2]], one[:2], [one[1], one[0], one[2]], [*one, one[2]]):
        assert decode(key_of(1), pages) is None
    assert decode(key_of(1), one) is None, "its checksum is another's"

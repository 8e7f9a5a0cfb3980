"""Which block comes next, by hand."""

import numpy as np
import pytest

from workers.flash.blocks import Blocks, block_limits
from workers.flash.geometry import FlashGeometry

GEOMETRY = FlashGeometry(num_blocks=6, spare_blocks=2, pages_per_block=4, wear_spread_max=10)


def blocks(erases: list[int], written: list[int], limit: int = 100) -> Blocks:
    limits = np.full(6, limit)
    return Blocks(GEOMETRY, limits, np.array(erases), np.array(written))


def test_the_least_worn_free_block_is_written_first() -> None:
    some = blocks([5, 3, 9, 1, 1, 0], [0, 0, 0, 0, 0, 4])
    assert list(some.take(6)) == [12, 13, 14, 15, 16, 17]  # block 3, then the next of one erase
    assert some.open == 4 and some.num_free_pages == 2 + 3 * 4
    assert list(some.take(3)) == [18, 19, 4]


def test_the_erase_that_gains_most_comes_first_and_the_least_worn_of_equals() -> None:
    some = blocks([7, 2, 2, 0, 0, 0], [4, 4, 4, 4, 0, 0])
    assert some.victim(np.array([1, 1, 2, 4, 0, 0])) == 1
    assert some.victim(np.array([4, 4, 4, 4, 0, 0])) is None


def test_of_the_open_block_only_what_is_stale_is_gained() -> None:
    some = blocks([0] * 6, [4, 2, 4, 4, 0, 0])
    some.open = 1
    assert some.victim(np.array([3, 0, 4, 4, 0, 0])) == 1  # 2 of 2 written, and not 4
    assert some.victim(np.array([3, 1, 4, 4, 0, 0])) == 0


def test_a_block_whose_pages_have_no_room_stays() -> None:
    some = blocks([0] * 6, [4, 4, 4, 4, 4, 2])
    some.open = 5
    assert some.victim(np.array([3, 3, 4, 4, 4, 2])) is None
    assert some.victim(np.array([3, 2, 4, 4, 4, 2])) == 1


def test_cold_pages_move_when_wear_differs_by_more_than_the_bound() -> None:
    live = np.zeros(6, np.int64)
    assert blocks([12, 2, 5, 3, 1, 0], [4, 4, 4, 4, 0, 0]).cold(live) is None  # 12 - 2 is 10
    assert blocks([13, 2, 5, 3, 1, 0], [4, 4, 4, 4, 0, 0]).cold(live) == 1
    assert blocks([13, 2, 5, 3, 1, 0], [0] * 6).cold(live) is None  # free ones are used anyway


def test_a_worn_block_is_never_erased_for_use_and_leaves_when_it_is_empty() -> None:
    some = blocks([99, 99, 0, 0, 0, 0], [4, 4, 4, 0, 0, 0])
    live = np.array([0, 1, 3, 0, 0, 0])
    assert some.victim(live) == 2 and some.num_worn == 2
    assert some.retirable(live) == [0]
    # 4 whole blocks, 1 page held in a worn one that is full and 0 in the other, less two blocks.
    assert some.capacity_pages(live) == 4 * 4 + 1 - 8
    some.erase(0)
    assert list(np.flatnonzero(some.is_bad)) == [0] and some.num_worn == 1
    assert some.num_free_pages == 12 and some.retirable(live) == []
    # 1 cycle of block 1 and 100 of each of 4 blocks, of 4 pages of 4,096 bytes.
    assert some.remaining_bytes() == (1 + 400) * 4 * 4096


def test_spare_blocks_wear_out_before_capacity_shrinks() -> None:
    geometry = FlashGeometry(num_blocks=6, spare_blocks=3, pages_per_block=4)
    assert geometry.num_logical == 12
    some = Blocks(geometry, np.full(6, 10), np.zeros(6, np.int64), np.zeros(6, np.int64))
    live = np.zeros(6, np.int64)
    for num_bad, fits in ((0, 12), (1, 12), (2, 8), (4, 0), (5, 0)):
        some.erases[:num_bad] = 10
        assert some.capacity_pages(live) == fits


def test_each_block_has_its_own_limit_and_always_the_same() -> None:
    geometry = FlashGeometry(num_blocks=200, endurance_cycles=1000, endurance_spread=0.1)
    limits = block_limits(geometry, 5)
    assert limits.min() >= 900 and limits.max() <= 1100 and len(set(limits.tolist())) > 50
    assert abs(limits.mean() - 1000) < 15
    assert (limits == block_limits(geometry, 5)).all()
    assert (limits != block_limits(geometry, 6)).any()


@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_a_block_lasts_one_cycle_at_least(spread: float) -> None:
    geometry = FlashGeometry(num_blocks=20, endurance_cycles=1, endurance_spread=spread)
    assert block_limits(geometry, 1).min() == 1


@pytest.mark.parametrize(("share", "num"), [(0.5, 3), (0.51, 4), (1, 6)])
def test_a_share_of_blocks_ends_here_and_equal_draws_mean_equal_blocks(
    share: float, num: int
) -> None:
    """Written ones stay readable, in their last cycle; erased ones are bad."""
    some, other = (blocks([5, 3, 9, 1, 1, 0], [4, 0, 2, 0, 4, 0]) for _ in range(2))
    assert some.wear_out(share, 0.25) == other.wear_out(share, 0.25) == num
    assert some.num_worn + int(some.is_bad.sum()) == num
    assert not (some.is_bad & (some.written > 0)).any()
    assert list(some.limits) == list(other.limits)
    assert some.wear_out(share, 0.25) == num and list(some.limits) == list(other.limits)

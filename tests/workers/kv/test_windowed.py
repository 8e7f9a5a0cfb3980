"""Blocks of a model with windows: what lies behind the window of all owners makes room."""

import random

import pytest

from configs.attention import Window
from configs.sliding import Sliding
from workers.kv.windowed import WindowedBlocks

# 4 layers, 3 of them with a window of 5 tokens; blocks of 2 tokens.
SLIDING = Sliding(Window(5), layers=4, windowed=3)


def blocks_of(num_blocks: int, num_ids: int = 40, sliding: Sliding = SLIDING) -> WindowedBlocks:
    return WindowedBlocks(num_blocks, 2, sliding=sliding, num_ids=num_ids)


@pytest.mark.parametrize(
    ("window", "num_tokens", "behind"),
    [
        (Window(5), 4, 0),
        (Window(5), 5, 0),  # the next query, at 5, meets 1 to 5
        (Window(5), 6, 1),  # ... 2 to 6: block 0 has 0 and 1
        (Window(5), 9, 2),
        (Window(6, chunked=True), 11, 3),  # 6 to 11
        (Window(6, chunked=True), 12, 6),
    ],
)
def test_which_blocks_lie_behind_a_window(window: Window, num_tokens: int, behind: int) -> None:
    assert Sliding(window, 4, 3).num_thin(num_tokens, 2) == behind


def test_what_a_sequence_takes_by_hand() -> None:
    """A window of 5 in blocks of 2 lies in 3 blocks at most: tokens 1 to 5 in blocks 0 to 2."""
    assert SLIDING.whole_most(2) == 3
    assert SLIDING.pages(6, 2) == 3 * 4
    assert SLIDING.pages(20, 2) == 3 * 4 + 7 * 1


def test_room_behind_a_window_is_for_others() -> None:
    blocks = blocks_of(4)  # 16 layers of blocks
    mine = blocks.allocate(4)
    assert blocks.num_free == 0
    blocks.slide(mine[:2])
    assert blocks.num_free == 1  # two give back 3 layers each, a block takes 4
    other = blocks.allocate(1)
    assert blocks.is_thin(mine[0])  # taken for it; of the second one 1 was enough
    blocks.check_integrity(dict.fromkeys(mine + other, 1))
    assert blocks.num_free == 0
    blocks.free_slid(mine[:2])
    blocks.free(mine[2:] + other)
    assert blocks.num_free == blocks.num_blocks == 4
    blocks.check_integrity({})


def test_a_spare_block_is_found_until_its_room_is_needed() -> None:
    blocks = blocks_of(3)
    (mine,) = blocks.allocate(1)
    blocks.commit(mine, b"a" * 16)
    blocks.slide([mine])
    assert blocks.match([b"a" * 16]) == [mine]
    assert blocks.allocate(0, [mine]) == [mine]  # somebody needs it whole
    assert blocks.num_free == 2
    blocks.free([mine])
    assert blocks.num_free == 2  # 8 layers and 3 more
    blocks.allocate(2)
    assert blocks.match([b"a" * 16]) == [mine]  # 12 of 12 are used, it is whole still
    blocks.check_integrity()


def test_a_pinned_block_stays_whole() -> None:
    blocks = blocks_of(2)
    mine = blocks.allocate(2)
    blocks.pin(mine[:1])
    blocks.slide(mine)
    assert blocks.num_free == 0
    blocks.unpin(mine[:1])
    assert blocks.num_free == 1


def test_blocks_that_were_never_whole_take_little_and_have_no_name() -> None:
    blocks = blocks_of(3)
    mine = blocks.allocate(6, num_thin=4)
    assert blocks.num_free == 0  # 4 x 1 and 2 x 4 of 12
    blocks.slide(mine[:4])
    blocks.commit(mine[0], b"a" * 16)
    assert blocks.match([b"a" * 16]) == []
    with pytest.raises(ValueError, match="1 new blocks, 1 of them thin"):
        blocks.allocate(1, num_thin=1)
    blocks.check_integrity(dict.fromkeys(mine, 1))


@pytest.mark.parametrize("seed", range(20))
def test_random_sequences_never_take_more_than_there_is(seed: int) -> None:
    chance = random.Random(seed)
    sliding = Sliding(Window(chance.randint(1, 9)), 4, chance.randint(1, 4))
    blocks = blocks_of(chance.randint(2, 8), 30, sliding)
    owned: list[tuple[list[int], int]] = []
    for step in range(300):
        match chance.randrange(4):
            case 0:
                num = chance.randint(1, 4)
                thin = chance.randint(0, num)
                if blocks.can_allocate(num, num_thin=thin):
                    ids = blocks.allocate(num, num_thin=thin)
                    blocks.slide(ids[:thin])
                    owned.append((ids, thin))
            case 1 if owned:
                ids, slid = owned.pop(chance.randrange(len(owned)))
                blocks.free_slid(ids[:slid])
                blocks.free(ids[slid:])
            case 2 if owned:
                index = chance.randrange(len(owned))
                ids, slid = owned[index]
                more = chance.randint(slid, len(ids))
                blocks.slide(ids[slid:more])
                owned[index] = ids, more
            case _ if owned:
                ids, _ = chance.choice(owned)
                block = chance.choice(ids)
                if not blocks.is_thin(block) and blocks.hash_of(block) is None:
                    blocks.commit(block, step.to_bytes(16))
        counts: dict[int, int] = {}
        for ids, _ in owned:
            for block in ids:
                counts[block] = counts.get(block, 0) + 1
        blocks.check_integrity(counts)
    for ids, slid in owned:
        blocks.free_slid(ids[:slid])
        blocks.free(ids[slid:])
    assert blocks.num_free == blocks.num_blocks

"""Room for blocks from a pool: those that are here take their own place, the others a new one."""

from workers.kv.blocks import BlockManager

HASHES = [bytes([i]) * 16 for i in range(4)]


def manager(num_blocks: int) -> BlockManager:
    """The first of HASHES is here, cached: nobody holds it."""
    blocks = BlockManager(num_blocks, 2)
    ids = blocks.allocate(1)
    blocks.commit(ids[0], HASHES[0])
    blocks.free(ids)
    return blocks


def test_four_of_which_one_is_here_need_three_new_blocks_beside_it() -> None:
    blocks = manager(4)
    adoption = blocks.adopt(HASHES)
    assert adoption is not None and adoption.missing == (1, 2, 3)
    assert (blocks.num_free, blocks.num_pinned) == (0, 4)
    blocks.install(adoption)
    assert (blocks.num_free, blocks.num_pinned, blocks.num_cached) == (4, 0, 4)


def test_three_blocks_are_too_few_for_four_and_nothing_changes() -> None:
    """Not even where the one that is here could be evicted for the others."""
    blocks = manager(3)
    assert blocks.adopt(HASHES) is None
    assert (blocks.num_free, blocks.num_pinned, blocks.num_cached) == (3, 0, 1)
    assert len(blocks.match(HASHES)) == 1


def test_what_is_held_by_a_sequence_takes_no_room() -> None:
    """One of four blocks is held, and it is the first of the four that are adopted."""
    blocks = manager(4)
    held = blocks.match(HASHES[:1])
    blocks.allocate(0, held)
    assert blocks.num_free == 3
    assert blocks.adopt(HASHES) is not None

"""Which blocks of a sequence others may find: full ones, of what was computed exactly."""

import pytest

from tests.workers.chip.driver import chip_with
from workers.chip.sequence import Sequence


def test_full_blocks_are_those_that_are_computed_exactly() -> None:
    """8 tokens in blocks of 2 have names for 4. Of 5 that are computed 2 blocks are full; of those
    the second holds token 3, which is approximate.
    """
    seq = Sequence("s", range(8), 1)
    assert seq.full_block_hashes() == (), "no scheduler has it yet"
    seq.block_size, seq.block_hashes = 2, [b"0", b"1", b"2", b"3"]
    seq.num_computed = 5
    assert seq.full_block_hashes() == (b"0", b"1")
    seq.approximate_from = 3
    assert (seq.num_exact_computed(), seq.full_block_hashes()) == (3, (b"0",))
    seq.approximate_from = 7
    assert (seq.num_exact_computed(), seq.full_block_hashes()) == (5, (b"0", b"1"))


def test_each_block_becomes_findable_once_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2 tokens; a prompt of 10 in chunks of 3, 3, 3 and 1, then three outputs one by one:
    after 3, 6, 9, 10, 11, 12 and 13 tokens 1, 3, 4, 5, 5, 6 and 6 blocks are full.
    """
    chip, committed = chip_with(seqs=1, budget=3), list[int]()
    monkeypatch.setattr(
        chip.scheduler.blocks, "commit", lambda block_id, _: committed.append(block_id)
    )
    seq = Sequence("a", range(10), 4)
    chip.scheduler.add(seq)
    fresh = list[list[int]]()
    while chip.launch() is not None:
        held = list(seq.block_ids)
        ended = chip.land(chip.compute())
        fresh.append([held.index(block_id) for block_id in committed])
        committed.clear()
        for each in ended:
            chip.scheduler.finish(each.seq_id)
    assert fresh == [[0], [1, 2], [3], [4], [], [5], []]

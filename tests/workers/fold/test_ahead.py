"""What is known of a sequence's steps to come."""

import numpy as np

from workers.chip.sequence import Sequence
from workers.fold.ahead import Ahead


def known() -> Ahead:
    """A prompt of 5 and one token, in blocks of 4; nine steps are known, in two pieces."""
    seq = Sequence("s", range(5), 20, [7])
    seq.block_size, seq.block_ids, seq.num_computed = 4, [3, 8, 1, 6], 5
    ahead = Ahead(seq, 5)
    assert (ahead.left(5), ahead.last_token) == (0, 7)
    experts = np.arange(9).reshape(9, 1, 1).astype(np.int32)
    ahead.add([10, 11, 12, 13], experts[:4], ends=False)
    ahead.add([14, 15, 16, 17, 18], experts[4:], ends=True)
    return ahead


def test_steps_are_found_over_both_pieces() -> None:
    ahead = known()
    assert (ahead.end, ahead.left(8), ahead.last_token) == (14, 6, 18)
    assert ahead.experts(7, 4).ravel().tolist() == [2, 3, 4, 5]
    assert ahead.experts(9, 5).ravel().tolist() == [4, 5, 6, 7, 8]


def test_what_is_over_is_forgotten_piece_by_piece() -> None:
    ahead = known()
    ahead.forget(8)
    assert ahead.start == 5
    ahead.forget(10)
    assert (ahead.start, ahead.tokens, ahead.left(10)) == (9, [14, 15, 16, 17, 18], 4)
    assert ahead.experts(10, 2).ravel().tolist() == [5, 6]


def test_keys_go_with_the_blocks() -> None:
    """Known up to position 13: in the first four blocks of four."""
    ahead = known()
    ahead.seq.block_ids.append(9)
    assert ahead.holds()
    ahead.seq.block_ids[3] = 2
    assert not ahead.holds()
    del ahead.seq.block_ids[3:]
    assert not ahead.holds()

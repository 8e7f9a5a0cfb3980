"""Blocks cut into pieces and put together again, in every layout in which they travel."""

import numpy as np
import pytest

from workers.kv.pieces import cut, places_of, spliced

# Blocks of 8 tokens, 3 of them; where a block is bytes, so many planes.
LAYOUTS = {
    "keys and values": ((2, 2, 8, 4, 5), 0),
    "digests": ((2, 8, 3, 1), 0),
    "latents": ((2, 8, 5), 0),
    "bytes": ((2 * 3 * 8 * 2,), 6),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("num", [1, 2, 4])
def test_blocks_are_their_pieces(layout: str, num: int) -> None:
    shape, planes = LAYOUTS[layout]
    blocks = np.arange(3 * np.prod(shape)).reshape(3, *shape).astype(np.uint16)
    pieces = cut(blocks, num, planes)
    assert len(pieces) == 3 * num and pieces[0].size * num == blocks[0].size
    again = spliced(np.zeros_like(blocks), num, planes, range(3 * num), pieces)
    assert (again == blocks).all()


def test_a_piece_has_the_tokens_that_its_place_says() -> None:
    blocks = np.zeros((2, 1, 2, 8, 1, 1), dtype=np.int64)
    blocks[..., 0, 0] = np.arange(8) + 100 * np.arange(2)[:, None, None, None]
    pieces = cut(blocks, 4, 0)
    assert pieces[5, 0, 1, :, 0, 0].tolist() == [102, 103]
    # Tokens 2 and 3 of the second block alone are new.
    new = spliced(blocks, 4, 0, [5], np.full_like(pieces[:1], 7))
    assert new[1, 0, 0, :, 0, 0].tolist() == [100, 101, 7, 7, 104, 105, 106, 107]
    assert (new[0] == blocks[0]).all()


def test_pieces_of_another_shape_are_refused() -> None:
    blocks = np.zeros((1, 2, 8, 5))
    with pytest.raises(ValueError, match=r"they must be float64 \(2, 4, 5\)"):
        spliced(blocks, 2, 0, [0], np.zeros((1, 2, 3, 5)))


def test_which_blocks_hold_pieces() -> None:
    assert places_of([5, 6, 7, 8], 4) == ((1, 2), [1, 2, 3, 4])
    # The last two of every four are here.
    assert places_of([6, 7, 14], 4, 2) == ((1, 3), [0, 1, 2])

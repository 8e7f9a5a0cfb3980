"""What counts as here: pieces that are all there, without a gap."""

import pytest

from configs.slices import Slice
from workers.kv.receipt import Receipt

AT = (0, 0)


def test_leading_tokens_end_where_a_piece_lacks() -> None:
    """Pieces of 4 tokens; 18 are to come, the first 8 were here before."""
    receipt = Receipt(0)
    assert receipt.leading(8, 18) == 8
    receipt.wrote(4, [4, 2], AT, 1, 1)
    assert receipt.leading(8, 18) == 12, "piece 3 lacks"
    receipt.wrote(4, [3], AT, 1, 1)
    assert receipt.leading(8, 18) == 18, "the last piece is of two tokens"
    assert receipt.leading(0, 18) == 0


def test_nothing_to_come_is_all_here() -> None:
    assert Receipt(0).leading(32, 30) == 30
    assert Receipt(0).leading(0, 0) == 0


def test_a_piece_is_here_when_all_its_parts_are() -> None:
    """Two layers of four heads: halves of the heads come, and one of them twice."""
    receipt = Receipt(0)
    for _ in range(2):
        receipt.wrote(4, [0, 1], (0, 0), 4, 8)
    assert receipt.leading(0, 8) == 0
    receipt.wrote(4, [0], (0, 2), 4, 8)
    assert receipt.leading(0, 8) == 4
    receipt.wrote(4, [1], (0, 2), 4, 8)
    assert receipt.leading(0, 8) == 8


def test_what_lies_with_other_ranks_does_not_come() -> None:
    """Of every 16 tokens the second 8 are here, in pieces of 4: numbers 2 and 3, 6 and 7."""
    receipt = Receipt(0, Slice(1, 2, 16))
    assert receipt.leading(0, 40) == 8
    assert receipt.leading(0, 7) == 7, "none of it is to come"
    receipt.wrote(4, [2, 3], AT, 1, 1)
    assert receipt.leading(0, 40) == 24
    receipt.wrote(4, [7], AT, 1, 1)
    assert receipt.leading(0, 40) == 24
    receipt.wrote(4, [6], AT, 1, 1)
    assert receipt.leading(0, 40) == 40


@pytest.mark.parametrize("size", [2, 8])
def test_pieces_of_another_size_begin_anew(size: int) -> None:
    receipt = Receipt(0)
    receipt.wrote(4, [0, 1], AT, 1, 1)
    receipt.wrote(size, [0], AT, 1, 1)
    assert receipt.leading(0, 8) == size

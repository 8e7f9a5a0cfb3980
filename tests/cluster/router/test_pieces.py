"""Outputs that piled up travel together, but for those with many alternatives."""

import pytest

from cluster.api.output import Output, TokenLogprob
from cluster.router.machine.actions import Said
from cluster.router.pieces import ALTERNATIVES_MAX, pieces


@pytest.mark.parametrize(("top", "sizes"), [(0, [1000]), (20, [102] * 9 + [82])])
def test_pieces_hold_as_many_alternatives_as_are_written_at_once(
    top: int, sizes: list[int]
) -> None:
    """2,048 of 20 each: 102 outputs; without any, all at once."""
    told = TokenLogprob(1, b"x", -1.0, tuple((i, b"x", -1.0) for i in range(top)))
    said = [Said(Output("r", i, (1,), logprobs=(told,))) for i in range(1000)]
    found = list(pieces(said))
    assert [len(piece) for piece in found] == sizes
    assert [one for piece in found for one in piece] == said
    assert ALTERNATIVES_MAX == 2048

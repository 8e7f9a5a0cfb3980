"""Placeholders of many places at once are those of each."""

import pytest

from workers.chip.placeholders import Placeholders


@pytest.mark.parametrize(("vocab", "eos"), [(7, (3,)), (129_280, (1, 100)), (2**31, ())])
def test_many_at_once_are_each(vocab: int, eos: tuple[int, ...]) -> None:
    placeholders = Placeholders(vocab, eos)
    for name in ("request-0", "another"):
        wanted = [placeholders.token(name, place) for place in range(5, 505)]
        assert placeholders.tokens(name, 5, 500).tolist() == wanted

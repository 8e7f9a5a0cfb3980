"""Randomness is a function of its key."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.host.rng import Rng

KEYS = st.lists(st.one_of(st.integers(), st.text(max_size=5)), min_size=1, max_size=4)


@given(st.integers(0, 2**32), KEYS)
def test_the_same_key_gives_the_same_number_in_any_order(seed: int, key: list) -> None:
    one, other = Rng(seed), Rng(seed)
    other.uniform("something", "else")
    assert one.uniform(*key) == other.uniform(*key)
    assert 0.0 <= one.uniform(*key) < 1.0
    left, right = one.generator(*key).random(5), other.generator(*key).random(5)
    assert np.array_equal(left, right)


def test_numbers_do_not_change_between_versions() -> None:
    """A stored trace and a resumed stream rest on them."""
    assert Rng(0).uniform("sample", 0, 0) == Rng(0).uniform("sample", 0, 0)
    assert Rng(0).uniform("a") != Rng(1).uniform("a") != Rng(1).uniform("b")


def test_numbers_are_even_and_keys_independent() -> None:
    rng = Rng(7)
    numbers = np.array([rng.uniform("draw", i) for i in range(4_000)])
    assert abs(numbers.mean() - 0.5) < 0.02
    assert np.all(np.histogram(numbers, 10, (0, 1))[0] > 300)
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.05

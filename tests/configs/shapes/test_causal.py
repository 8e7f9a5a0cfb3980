"""Sums over new tokens against one token after the other."""

from hypothesis import given
from hypothesis import strategies as st

from configs.shapes.attention import Full
from configs.shapes.causal import capped, grouped

STARTS, COUNTS, MOST = st.integers(0, 40), st.integers(0, 40), st.none() | st.integers(1, 30)


@given(STARTS, COUNTS, MOST)
def test_capped(start: int, count: int, most: int | None) -> None:
    contexts = range(start + 1, start + count + 1)
    assert capped(start, count, most) == sum(min(n, most or n) for n in contexts)


@given(STARTS, COUNTS, st.integers(1, 9), MOST)
def test_grouped(start: int, count: int, size: int, most: int | None) -> None:
    each = [n // size for n in range(start + 1, start + count + 1)]
    assert grouped(start, count, size, most) == sum(
        n if most is None else min(n, most) for n in each
    )


@given(STARTS, st.integers(1, 40), st.integers(1, 30), st.booleans())
def test_what_windows_and_chunks_meet(start: int, count: int, window: int, chunked: bool) -> None:
    """Token by token: a window ends at a token, a chunk begins at a multiple of its size."""
    seen = [
        range(p // window * window if chunked else max(0, p - window + 1), p + 1)
        for p in range(start, start + count)
    ]
    attention = Full(2, 1, 8, window=window, chunked=chunked)
    assert attention.pairs(start, count) == sum(map(len, seen))
    assert attention.met(start, count) == len(set().union(*seen))

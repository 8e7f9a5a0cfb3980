"""Sums over the new tokens of a sequence, of which the i-th sees all before it and itself."""


def capped(start: int, count: int, most: int | None = None) -> int:
    """The sum of min(context, most) for contexts of start + 1 to start + count tokens."""
    end = start + count
    below = end if most is None else min(max(most, start), end)
    rising = (below * (below + 1) - start * (start + 1)) // 2
    return rising + (end - below) * (most or 0)


def grouped(start: int, count: int, size: int, most: int | None = None) -> int:
    """The sum of min(context // size, most) for the same contexts."""
    contexts = range(start + 1, start + count + 1)
    return sum(n // size if most is None else min(n // size, most) for n in contexts)

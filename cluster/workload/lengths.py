"""Draws numbers of tokens from the distributions that a scenario may name."""

import numpy as np
from numpy.typing import NDArray

from configs.schema.workload import Length, LogNormal, Uniform, Zipf


def draw_lengths(length: Length, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` lengths in tokens, each at least 1: int64 [count]."""
    choice = length.chosen
    if isinstance(choice, int):
        return np.full(count, choice, dtype=np.int64)
    if isinstance(choice, Uniform):
        return rng.integers(choice.low, choice.high, size=count, endpoint=True)
    if isinstance(choice, LogNormal):
        return _lognormal(choice, count, rng)
    assert isinstance(choice, Zipf), choice
    return _zipf(choice, count, rng)


def _lognormal(choice: LogNormal, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    drawn = np.rint(rng.lognormal(np.log(choice.median), choice.sigma, size=count))
    # Clipped as float first: a wild sigma would overflow the integer.
    most = float(choice.high if choice.high is not None else 2**53)
    return np.clip(drawn, choice.low, most).astype(np.int64)


def _zipf(choice: Zipf, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """By inversion of the cumulative weights: numpy's own zipf has no upper end."""
    values = np.arange(choice.low, choice.high + 1, dtype=np.int64)
    cumulative = np.cumsum(values.astype(np.float64) ** -choice.alpha)
    chosen = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    lengths: NDArray[np.int64] = values[np.minimum(chosen, len(values) - 1)]
    return lengths

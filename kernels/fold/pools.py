"""Pools of tokens with their experts, from which a chip's tokens are drawn.

A draw is a function of (seed, chip, step, exchange) and the token's number, so it does not depend
on who asks first, nor on how many others there are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.fold.terms import Chosen, Drawn

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def mixed(x: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)


def drawn(
    seed: int, chip: int, step: int, exchange: int, tokens: int, size: int
) -> NDArray[np.int64]:
    """Which tokens of a pool of `size`, with replacement, [tokens]: two from each mixed number."""
    key = seed & _MASK
    for number in (chip, step, exchange):
        key = mixed((key + _STEP) & _MASK) ^ number
    picks = np.empty(tokens, dtype=np.int64)
    for pair in range(0, tokens, 2):
        bits = mixed((key + _STEP * (pair // 2 + 1)) & _MASK)
        picks[pair] = (bits >> 32) * size >> 32
        if pair + 1 < tokens:
            picks[pair + 1] = (bits & 0xFFFFFFFF) * size >> 32
    return picks


def asked(
    choices: Chosen | Drawn,
    pools: Sequence[NDArray[np.int32]],
    chip: int,
    step: int,
    exchange: int,
) -> NDArray[np.int32]:
    """Experts of a chip's tokens in one exchange of a step of its stretch, [T, K]."""
    if isinstance(choices, Chosen):
        given_TK: NDArray[np.int32] = choices.experts[step, exchange]
        return given_TK
    pool_XPK, number = pools[choices.pool], choices.first_step + step
    pool_PK = pool_XPK[exchange % len(pool_XPK)]
    picks = drawn(choices.seed, chip, number, exchange, choices.tokens, len(pool_PK))
    drawn_TK: NDArray[np.int32] = pool_PK[picks]
    return drawn_TK

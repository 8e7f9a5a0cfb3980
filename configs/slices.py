"""Which tokens a rank holds where ranks hold slices of the same keys (decode context parallelism).

A block is cut, so that every rank has a part of each and block ids mean the same on all of them:

    block of 32 tokens    2 slices   │ 0 .. 15 │ 16 .. 31 │   of rank 0, of rank 1

In vLLM's words: a virtual block of `slices` blocks, and an interleave size of one of them.
"""

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.heads import Heads


@dataclass(frozen=True, slots=True)
class Slice:
    """Part `number` of `count` equal parts of each block of `block_size` tokens."""

    number: int
    count: int
    block_size: int

    @classmethod
    def of(cls, heads: Heads | None, block_size: int) -> "Slice":
        """What a rank with these heads holds. Raises ValueError where blocks cannot be cut."""
        if heads is None:
            return cls(0, 1, block_size)
        if block_size % heads.slices:
            raise ValueError(f"blocks of {block_size} tokens cannot be cut into {heads.slices}")
        return cls(heads.copy % heads.slices, heads.slices, block_size)

    @property
    def tokens(self) -> int:
        """That lie here of each block."""
        return self.block_size // self.count

    def positions(self, num_tokens: int) -> NDArray[np.int64]:
        """Where the first tokens that lie here stand in their sequence."""
        blocks, offsets = np.divmod(np.arange(num_tokens), self.tokens)
        return blocks * self.block_size + self.number * self.tokens + offsets

    def __str__(self) -> str:
        first = self.number * self.tokens
        return f"tokens {first} to {first + self.tokens - 1} of every {self.block_size}"

    def holds(self, position: Any) -> Any:
        """Whether a sequence's token at `position` lies here; or each of an array."""
        return position % self.block_size // self.tokens == self.number

    def meets(self, other: "Slice") -> bool:
        """Whether some token may lie in both. Where blocks begin, those of either repeat at every
        distance that is a multiple of what both sizes have in common.
        """
        common = gcd(self.block_size, other.block_size)
        apart = (other.number * other.tokens - self.number * self.tokens) % common
        return apart < self.tokens or common - apart < other.tokens

    def before(self, position: Any) -> Any:
        """How many of a sequence's first `position` tokens lie here; or of each of an array."""
        whole, rest = position // self.block_size, position % self.block_size
        here = rest - self.number * self.tokens
        here = here * (here > 0)
        return whole * self.tokens + here - (here - self.tokens) * (here > self.tokens)

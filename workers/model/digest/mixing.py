"""What digests are made with: one mixing function, and the digests that stand for weights.

All arithmetic is modulo 2^64, on uint64 arrays, where numpy wraps in silence.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]

# Odd, so that multiplying by it loses nothing: 2^64 / golden ratio (Knuth 6.4).
STEP = 0x9E3779B97F4A7C15
# In the virtual world many chips of one model stand in one process.
KNOWN_MAX = 1 << 14
_S30, _S27, _S31 = (np.uint64(bits) for bits in (30, 27, 31))
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class What(IntEnum):
    """Which weights a slice is of."""

    EMBEDDING = 1
    QUERY = 2
    KEY = 3
    OUT = 4
    DENSE = 5
    SHARED = 6
    GATE = 7
    EXPERT = 8
    HEAD = 9
    DECAY = 10


def mixed(values: Digests) -> Digests:
    """Each value, mixed in place: the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).

    It is a permutation of 64-bit numbers in which every bit depends on every other.
    """
    values ^= values >> _S30
    values *= _M1
    values ^= values >> _S27
    values *= _M2
    values ^= values >> _S31
    return values


def stepped(numbers: NDArray[np.integer]) -> Digests:
    """Positions or indexes, apart from each other: number times STEP."""
    return numbers.astype(np.uint64) * np.uint64(STEP)


@dataclass(frozen=True, slots=True)
class Weights:
    """The digests of one model's weights, a slice at a time. `root` names the model."""

    root: int

    @classmethod
    def of(cls, name: str) -> "Weights":
        """`name` says what the model is: another text, other weights."""
        return cls(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))

    def slices(self, what: What, layer: int, indexes: range) -> Digests:
        """Of slices `indexes` of one kind of weights of a layer: [n], read-only."""
        return _slices(self.root, what, layer, indexes)

    def one(self, what: What, layer: int, index: int = 0) -> Digests:
        """[1], to be broadcast."""
        return self.slices(what, layer, range(index, index + 1))


@lru_cache(KNOWN_MAX)
def _slices(root: int, what: What, layer: int, indexes: range) -> Digests:
    at = mixed(np.array([root ^ what], dtype=np.uint64)) + np.uint64(layer)
    found = mixed(mixed(at) + np.array(indexes, dtype=np.uint64))
    found.flags.writeable = False
    return found

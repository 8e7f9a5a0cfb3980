"""Randomness as a function: the same key gives the same number, whenever and wherever it is asked
for.

A stream that resumes after a crash, or runs on another chip, therefore repeats itself.
"""

import hashlib

import numpy as np


class Rng:
    """Counter-based and keyed; holds no state but the cluster's seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def _key(self, key: tuple[int | str, ...]) -> int:
        text = "|".join(str(part) for part in (self._seed, *key))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")

    def uniform(self, *key: int | str) -> float:
        """A number in [0, 1) with 53 random bits."""
        return (self._key(key) >> 75) * 2.0**-53

    def generator(self, *key: int | str) -> np.random.Generator:
        """A generator of its own for many draws under one key."""
        return np.random.Generator(np.random.Philox(key=self._key(key)))

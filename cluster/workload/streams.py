"""Where a workload's chance comes from: one independent stream for each purpose, keyed by the seed.

A stream's numbers do not depend on how much others drew, so that changing the arrivals leaves the
prompts as they were.
"""

import zlib

import numpy as np


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """The stream of one purpose; `keys` (non-negative) tell its members apart, e.g. a block's
    id.
    """
    # crc32 is the same in every process, unlike hash().
    entropy = (seed, zlib.crc32(purpose.encode()), *keys)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def tokens(seed: int, purpose: str, *keys: int, count: int, vocab_size: int) -> list[int]:
    """`count` token ids, each of the vocabulary's as likely."""
    drawn: list[int] = stream(seed, purpose, *keys).integers(0, vocab_size, size=count).tolist()
    return drawn

"""Sequences that attention reads: 4,096 to 8,191 tokens each, their blocks in random order."""

import numpy as np

from kernels.attention import Layout, Span

LENGTHS = tuple(4096 + 273 * i for i in range(16))  # few of them whole blocks
TOKENS = sum(LENGTHS)


class Contexts:
    """A cache's blocks dealt out to sequences of these lengths.

    num_blocks  how many blocks that takes
    filled      a layout for writing all tokens of each sequence
    step        a layout for one new token of each sequence, the last one
    alone       the same, one layout for each sequence
    """

    def __init__(self, rng: np.random.Generator, block_size: int) -> None:
        sizes = [-(-length // block_size) for length in LENGTHS]
        self.num_blocks = sum(sizes)
        tables = np.split(rng.permutation(self.num_blocks), np.cumsum(sizes)[:-1])
        pairs = list(zip(LENGTHS, tables, strict=True))
        self.filled = [Layout([Span(0, length, table)]) for length, table in pairs]
        last = [Span(length - 1, 1, table) for length, table in pairs]
        self.step = Layout(last)
        self.alone = [Layout([span]) for span in last]

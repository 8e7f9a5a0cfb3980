"""Whose a KV block is. Its checksum covers that beside its bytes, so that another's block, its own
at another place, or one of an incarnation that is no more is refused under whatever checksum it
came with. Both ends know it: it never travels.

    shared    content hash: its tokens and all before them        pool, offloaded blocks, flash
    handed    attempt, prompt, owner's incarnation, place         to a decode chip, or a rank of one
    far       chip, its incarnation, number there, place          with a memory server
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from xxhash import xxh3_64_intdigest

from workers.wire.roles import Array


def block_checksum(block: Array, whose: bytes) -> int:
    """xxh3 of dtype, shape, identity and bytes in C order; travels with a
    block, each hop verifies it.
    """
    head = f"{block.dtype.str}{block.shape}".encode()
    seed = xxh3_64_intdigest(head + whose)
    if block.size == 0:  # a memoryview of nothing cannot be cast
        return seed
    return xxh3_64_intdigest(np.ascontiguousarray(block).data.cast("B"), seed)


def tokens_number(token_ids: Iterable[int]) -> int:
    """One number that says which tokens, 64 bits."""
    return xxh3_64_intdigest(np.fromiter(token_ids, dtype=np.int64).tobytes())


@dataclass(frozen=True, slots=True)
class Owner:
    """Who computed some KV, and of what.

    name     of the sequence: each attempt at a request has another
    epoch    of the node that computed it
    tokens   see `tokens_number`; 0 where one end knows none of them, as ranks do
    """

    name: str
    epoch: int
    tokens: int = 0

    @property
    def number(self) -> int:
        """One that says all of it, 63 bits."""
        (whole,) = self.places([0], "all of it")
        return xxh3_64_intdigest(whole) >> 1

    def places(self, indexes: Iterable[int], *form: object) -> list[bytes]:
        """Its pieces at these indexes, one identity each. `form`: what else an index counts in."""
        head = f"{self.name}\0{self.epoch}\0{self.tokens}\0{form}\0".encode()
        return [head + index.to_bytes(8, "little", signed=True) for index in indexes]


def far_owner(chip: str, number: int, epoch: int) -> Owner:
    """A sequence of which blocks lie with memory servers, by its number at an incarnation of its
    chip.
    """
    return Owner(f"far {number} of {chip}", epoch)

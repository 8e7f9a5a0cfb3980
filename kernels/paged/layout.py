"""Which tokens a step holds, and in which blocks their keys lie: arrays made once a step.

Letters: S sequences, T new tokens of all of them, one after another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """One sequence's part of a step: `count` new tokens at positions start, start + 1, ...

    blocks     ids of the blocks that hold its keys, in order; those that no query sees may be -1
    first_key  position of the first slot of blocks[0], a multiple of the block size; above 0 where
               earlier keys are elsewhere
    end_key    one past the last key that is here; start + count where left out
    """

    start: int
    count: int
    blocks: Sequence[int] | NDArray[Any]
    first_key: int = 0
    end_key: int | None = None


class Layout:
    """The sequences of a step. `plans` is the kernel's: what it has worked out for this step.

    Raises ValueError on a block id that does not fit 32 bits.
    """

    __slots__ = (
        "block_offsets", "blocks", "counts_S", "end_keys_S", "first_keys_S", "plans", "starts_S"
    )  # fmt: skip

    def __init__(self, spans: Iterable[Span]) -> None:
        listed = list(spans)
        ends = [s.start + s.count if s.end_key is None else s.end_key for s in listed]
        self.starts_S = np.array([s.start for s in listed], dtype=np.int64)
        self.counts_S = np.array([s.count for s in listed], dtype=np.int64)
        self.first_keys_S = np.array([s.first_key for s in listed], dtype=np.int64)
        self.end_keys_S = np.array(ends, dtype=np.int64)
        sizes = [len(s.blocks) for s in listed]
        self.block_offsets = np.cumsum([0, *sizes], dtype=np.int64)
        tables = [np.asarray(s.blocks, dtype=np.int64) for s in listed]
        blocks = np.concatenate([np.empty(0, dtype=np.int64), *tables])
        self.blocks = blocks.astype(np.int32)
        if (self.blocks != blocks).any():
            wrong = blocks[self.blocks != blocks][0]
            raise ValueError(f"blocks hold {wrong}; an id must fit 32 bits")
        self.plans: dict[object, Any] = {}

    @property
    def num_tokens(self) -> int:
        return int(self.counts_S.sum())

    def check(self, block_size: int) -> None:
        """Raises ValueError where a sequence cannot be: what the native plan checks as well."""
        for s, start in enumerate(self.starts_S):
            first, end = self.first_keys_S[s], self.end_keys_S[s]
            held = first + (self.block_offsets[s + 1] - self.block_offsets[s]) * block_size
            for name, value, least, most in (
                ("start", start, 0, 2**40),
                ("count", self.counts_S[s], 0, 2**31),
                ("first_key", first, 0, 2**40),
                ("end_key", end, first, held),
            ):
                if not least <= value <= most:
                    raise ValueError(
                        f"sequence {s}: {name} is {value}; it must be from {least} to {most}"
                    )
            if first % block_size:
                raise ValueError(
                    f"sequence {s}: first_key is {first}; it must be a multiple of block_size, "
                    f"{block_size}"
                )

    def slots(self, block_size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Block and offset [T] of each new token, for KvCache.write.

        Raises ValueError where a new token has no block here.
        """
        blocks_T, offsets_T = [], []
        for s, count in enumerate(self.counts_S):
            slots = np.arange(count) + self.starts_S[s] - self.first_keys_S[s]
            begin, end = self.block_offsets[s : s + 2]
            if count and not 0 <= slots[0] <= slots[-1] < (end - begin) * block_size:
                raise ValueError(
                    f"sequence {s}: {count} new tokens at position {self.starts_S[s]}; its "
                    f"{end - begin} blocks of {block_size} hold positions from "
                    f"{self.first_keys_S[s]} on"
                )
            blocks_T.append(self.blocks[begin + slots // block_size])
            offsets_T.append(slots % block_size)
        empty = np.empty(0, dtype=np.int32)
        return (
            np.concatenate([empty, *blocks_T]).astype(np.int32),
            np.concatenate([empty, *offsets_T]).astype(np.int32),
        )

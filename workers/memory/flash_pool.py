"""A pool of KV blocks that lie in a flash file: what was acknowledged is there after a restart.

In memory is an index alone. A put is done when its blocks are synced; what it evicts is written
over, or discarded. A block that is damaged is not there, and counted.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from workers.errors import CorruptMessage
from workers.flash.flash_file import FlashFile
from workers.flash.wear import Wear, wear_of
from workers.kv.lru_store import Block
from workers.kv.pool import BlockPool, PutResult
from workers.memory.block_pages import num_pages
from workers.memory.flash_shelf import FlashShelf, Item
from workers.wire.roles import Array

# What the index has of a block whose bytes lie in the flash.
IN_FLASH: Array = np.zeros(0, np.uint8)


class Leading(NamedTuple):
    """The first blocks of those that were wanted, without a gap, and their checksums."""

    blocks: list[Array]
    checksums: list[int]


class FlashPool(BlockPool):
    """Within `most_bytes`, and within what the flash can still hold. One thread at a time; it waits
    for its disk, as `FlashFile` does.

    num_found   blocks that were there when it was opened
    """

    def __init__(self, flash: FlashFile, most_bytes: int) -> None:
        super().__init__(most_bytes)
        self.flash, self._most_bytes = flash, most_bytes
        self._page_bytes = flash.geometry.page_bytes
        self._shelf = FlashShelf(flash)
        for key, checksum, num in self._shelf.found:
            size = num * self._page_bytes
            gone = self._store.make_room(size, frozenset())
            self._forget([key] if gone is None else gone)
            if gone is not None:
                self._store.insert(key, Block(IN_FLASH, checksum, size))
        self.num_found = self.num_blocks

    @property
    def num_damaged(self) -> int:
        """Pages that could not be read since it was opened."""
        return self._shelf.num_damaged

    def wear(self, span_ns: int) -> Wear:
        """Of its flash, which was opened so long ago."""
        return wear_of(
            self.flash,
            span_ns,
            num_damaged=self.num_damaged,
            num_found=self.num_found,
            num_hits=self.statistics.num_hits,
        )

    @property
    def refusal(self) -> str:
        """Why the flash took no more, last time; empty: it has taken all."""
        return self._shelf.refusal

    def put(
        self,
        keys: Sequence[bytes],
        blocks: Sequence[Array],
        checksums: Sequence[int] | None = None,
        charged_bytes: int | None = None,
    ) -> PutResult:
        """As of any pool; what it says is new is safe. A block is charged whole pages of the flash.
        Raises OSError where the disk fails; then the pool holds nothing until it is opened again.
        """
        holds_bytes = self.flash.capacity_pages * self._page_bytes
        self._store.capacity_bytes = min(self._most_bytes, holds_bytes)
        put = super().put(keys, blocks, checksums, charged_bytes)
        self._forget(put.evicted)
        items = []
        for key in put.new:
            block = self._store[key]
            items.append(Item(key, block.array, block.checksum))
            block.array = IN_FLASH
        num_kept = 0
        try:
            num_kept = self._shelf.keep(items)
        finally:
            lost = put.new[num_kept:]
            for key in lost:
                self._store.remove(key)
        self.statistics.num_new -= len(lost)
        self.statistics.num_refused += len(lost)
        if put.refused:
            self._shelf.refusal = self.flash.refusal(self._size(blocks[-1]) // self._page_bytes)
        return PutResult(put.new[:num_kept], put.known, put.refused + lost, put.evicted)

    def leading(self, keys: Sequence[bytes]) -> Leading:
        """What of the first keys is here without a gap, each verified; counts as a use. A block
        that is damaged ends it, and is dropped, so that a later put can heal it.
        """
        found = Leading([], [])
        for key in keys[: self.longest_prefix(keys)]:
            block = self._shelf.read(key)
            if block is None:
                self.statistics.num_corrupt += 1
                self._store.remove(key)
                self._forget([key])
                break
            found.blocks.append(block)
            found.checksums.append(self._store[key].checksum)
        used = keys[: len(found.blocks)]
        self.statistics.num_hits += len(used)
        self._store.touch(used)
        return found

    def get(self, keys: Sequence[bytes]) -> list[Array]:
        """As of any pool."""
        self.statistics.num_misses += self.longest_prefix(keys) < len(keys)
        self._check_here(keys)
        found = self.leading(keys)
        if len(found.blocks) < len(keys):
            key = keys[len(found.blocks)].hex()
            raise CorruptMessage(f"KV block {key} changed while the pool held it", key=key)
        return found.blocks

    def drop(self, keys: Sequence[bytes], *, even_pinned: bool = False) -> int:
        """As of any pool. Raises OSError as `put` does."""
        gone = self._droppable(keys, even_pinned)
        super().drop(gone, even_pinned=even_pinned)
        self._shelf.forget(gone, discard=True)
        return len(gone)

    def withhold(self, share: float) -> None:
        """As of any pool; what lies there goes when the next block comes."""
        self._store.withheld_bytes = math.ceil(self._most_bytes * share)

    def check_integrity(self) -> None:
        """As of any pool; a flash that has shrunk may hold more than it could take now."""
        self._store.capacity_bytes = self._most_bytes
        self._store.check_integrity()
        self._shelf.check_integrity(list(self._store))
        for key in self._store:
            assert self._shelf.read(key) is not None, f"block {key.hex()} changed in the pool"

    def _size(self, block: Array) -> int:
        return num_pages(block, self._page_bytes) * self._page_bytes

    def _forget(self, keys: Sequence[bytes]) -> None:
        self._shelf.forget(keys)

"""A pool of KV blocks that memory servers keep for all: content-addressed, so a shared prefix is
stored once.

A block's key is the 16-byte hash of its tokens and of all tokens before it; equal keys mean equal
contents. The pool is a cache: it may refuse and evict. What must stay is pinned. Eviction takes the
block that was used least recently, and within one prefix the last block first, because a block
without those before it serves nobody.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.errors import CorruptMessage, NotFound
from workers.kv.identity import block_checksum
from workers.kv.lru_store import Block, LruStore, num_leading
from workers.wire.roles import Array

KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of the keys of one `put`, each list in the order of the call.

    new      stored now                       known     here already; now shared
    refused  no room, all else being pinned   evicted   gone to make room, none of this call
    """

    new: tuple[bytes, ...]
    known: tuple[bytes, ...]
    refused: tuple[bytes, ...]
    evicted: tuple[bytes, ...]


@dataclass(slots=True)
class PoolStatistics:
    """Counts since the pool was made, in blocks; `*_bytes` as charged.

    num_conflicts   puts whose content differed from what the key holds (the first one stays)
    shared_bytes    bytes that did not have to be stored because the key was known
    """

    num_new: int = 0
    num_known: int = 0
    num_refused: int = 0
    num_evicted: int = 0
    num_hits: int = 0
    num_misses: int = 0
    num_corrupt: int = 0
    num_conflicts: int = 0
    shared_bytes: int = 0

    def count(self, put: PutResult) -> None:
        self.num_new += len(put.new)
        self.num_known += len(put.known)
        self.num_refused += len(put.refused)
        self.num_evicted += len(put.evicted)


class BlockPool:
    """Blocks by key within `capacity_bytes`."""

    def __init__(self, capacity_bytes: int) -> None:
        self.statistics = PoolStatistics()
        self._store = LruStore(capacity_bytes)

    @property
    def capacity_bytes(self) -> int:
        return self._store.capacity_bytes

    @property
    def num_blocks(self) -> int:
        return len(self._store)

    @property
    def bytes_held(self) -> int:
        return self._store.bytes_held

    @property
    def bytes_pinned(self) -> int:
        return self._store.bytes_pinned

    @property
    def num_pinned(self) -> int:
        return self._store.num_pinned

    def withhold(self, share: float) -> None:
        """This share is somebody else's from now on, and what lies there lost, if not pinned."""
        self._store.withheld_bytes = math.ceil(self.capacity_bytes * share)
        self._store.shrink()

    def contains(self, key: bytes) -> bool:
        return key in self._store

    def longest_prefix(self, keys: Sequence[bytes]) -> int:
        """How many of the first keys are here without a gap. Does not count as a use."""
        return num_leading(keys, self._store)

    def put(
        self,
        keys: Sequence[bytes],
        blocks: Sequence[Array],
        checksums: Sequence[int] | None = None,
        charged_bytes: int | None = None,
    ) -> PutResult:
        """Store copies of the blocks that are not here yet; keys in prefix order.

        What finds no room is refused, and all new blocks after it, so a prefix never gets a gap.

        checksums      `block_checksum` by the sender, each of the block under its key; verified
                       before anything is stored
        charged_bytes  what one block takes of the capacity, if not its own: it stands for a bigger

        Storing the same again changes nothing but the order of eviction. Raises CorruptMessage if a
        block does not fit its checksum, ValueError on keys that are not 16 bytes or lengths that
        differ; then nothing is stored.
        """
        sums = self._verified(keys, blocks, checksums)
        batch = frozenset(keys)
        self._store.touch(keys)
        new: list[bytes] = []
        known: list[bytes] = []
        refused: list[bytes] = []
        evicted: list[bytes] = []
        for key, block, checksum in zip(keys, blocks, sums, strict=True):
            size = self._size(block) if charged_bytes is None else charged_bytes
            if key in self._store:
                self.statistics.num_conflicts += self._store[key].checksum != checksum
                self.statistics.shared_bytes += size
                known.append(key)
                continue
            room = None if refused else self._store.make_room(size, batch)
            if room is None:
                refused.append(key)
                continue
            evicted += room
            self._store.insert(key, Block(_owned(block), checksum, size))
            new.append(key)
        self._store.touch(keys)
        result = PutResult(tuple(new), tuple(known), tuple(refused), tuple(evicted))
        self.statistics.count(result)
        return result

    def get(self, keys: Sequence[bytes]) -> list[Array]:
        """The blocks, read-only, each verified against its checksum; counts as a use.

        Raises NotFound naming the first key that is not here. Raises CorruptMessage if a block's
        bytes have changed; that block is dropped, so that a later put can heal it.
        """
        found: list[Array] = []
        for key in keys:
            if key not in self._store:
                self.statistics.num_misses += 1
                raise _not_here(key)
            block = self._store[key]
            if block_checksum(block.array, key) != block.checksum:
                self.statistics.num_corrupt += 1
                self._store.remove(key)
                raise CorruptMessage(
                    f"KV block {key.hex()} changed while the pool held it", key=key.hex()
                )
            found.append(block.array)
        self.statistics.num_hits += len(found)
        self._store.touch(keys)
        return found

    def checksums(self, keys: Sequence[bytes]) -> list[int]:
        """The blocks' checksums, to send along with them. Raises NotFound."""
        self._check_here(keys)
        return [self._store[key].checksum for key in keys]

    def pin(self, keys: Sequence[bytes]) -> None:
        """Keep them until `unpin`; pins add up. Raises NotFound, pinning none, if one is absent."""
        self._check_here(keys)
        self._store.pin(keys)

    def unpin(self, keys: Sequence[bytes]) -> None:
        """Take back one pin each. A block dropped as corrupt keeps its pins, so this works for it
        too.

        Raises ValueError, and changes nothing, if a key has fewer pins than are taken back.
        """
        self._store.unpin(keys)

    def drop(self, keys: Sequence[bytes], *, even_pinned: bool = False) -> int:
        """Forget these blocks unless absent, or pinned: pins stay. Returns how many went."""
        gone = self._droppable(keys, even_pinned)
        for key in gone:
            self._store.remove(key)
        return len(gone)

    def clear(self) -> int:
        """Forget all that is not pinned; returns how many blocks went."""
        return self.drop(self._store.evictable)

    def check_integrity(self) -> None:
        """Assert what must always hold; reads every block. For tests and for idle moments."""
        self._store.check_integrity()
        for key in self._store:
            block = self._store[key]
            changed = block_checksum(block.array, key) != block.checksum
            assert not changed, f"block {key.hex()} changed while the pool held it"

    # --------------------------------------------------------------------------------------- inside

    def _droppable(self, keys: Sequence[bytes], even_pinned: bool) -> list[bytes]:
        there = self._store if even_pinned else self._store.evictable
        return [key for key in dict.fromkeys(keys) if key in there]

    def _size(self, block: Array) -> int:
        return block.nbytes

    def _verified(
        self, keys: Sequence[bytes], blocks: Sequence[Array], checksums: Sequence[int] | None
    ) -> list[int]:
        if len(keys) != len(blocks) or (checksums is not None and len(checksums) != len(keys)):
            raise ValueError(f"{len(keys)} keys for {len(blocks)} blocks: one of each, in order")
        for key in keys:
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {key.hex()} has {len(key)} bytes: it must have {KEY_BYTES}")
        sums = [block_checksum(block, key) for key, block in zip(keys, blocks, strict=True)]
        for key, found, said in zip(
            keys, sums, sums if checksums is None else checksums, strict=True
        ):
            if found != said:
                self.statistics.num_corrupt += 1
                raise CorruptMessage(
                    f"KV block {key.hex()} changed on its way, or is another's", key=key.hex()
                )
        return sums

    def _check_here(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            if key not in self._store:
                raise _not_here(key)


def _not_here(key: bytes) -> NotFound:
    return NotFound(f"KV block {key.hex()} is not in the pool", key=key.hex())


def _owned(block: Array) -> Array:
    """A read-only copy: what arrives is a view that would keep its whole frame alive."""
    copy = np.array(block, order="C", copy=True)
    copy.flags.writeable = False
    return copy

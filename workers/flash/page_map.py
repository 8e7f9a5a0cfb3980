"""Which physical page holds a logical page's newest version. Pure: no file is touched here.

A discarded page's tombstone, its place in a TRIM list, stays as long as an older version of it lies
anywhere on the flash: without it a restart would find that one the newest.
"""

import struct

import numpy as np
from xxhash import xxh3_64_intdigest

from workers.flash.geometry import FlashGeometry
from workers.flash.pages import Kind

NOWHERE = -1


class PageMap:
    """About 40 bytes a physical page.

    block_live  [num_blocks] pages of each block that are somebody's newest version, or tombstone
    digest      sum over all pages held of a hash of logical page and sequence: two maps that hold
                the same versions have the same, and one that lacks any has another
    num_held    logical pages that are written and not discarded
    """

    def __init__(self, geometry: FlashGeometry) -> None:
        self._per_block = geometry.pages_per_block
        self._where = np.full(geometry.num_logical, NOWHERE, np.int64)
        self._num_copies = np.zeros(geometry.num_logical, np.int32)
        self._kind = np.zeros(geometry.num_physical, np.uint8)
        self._sequence = np.zeros(geometry.num_physical, np.int64)
        self._logical = np.full(geometry.num_physical, NOWHERE, np.int64)
        self._num_live = np.zeros(geometry.num_physical, np.int32)
        self._lost_lists: dict[int, tuple[int, ...]] = {}
        self._erased: list[int] = []
        self.block_live = np.zeros(geometry.num_blocks, np.int64)
        self.digest = 0
        self.num_held = 0

    def find(self, logical: int) -> tuple[Kind, int, int]:
        """(what it is, physical page, sequence); NONE of what was never written, or discarded."""
        physical = int(self._where[logical])
        if physical == NOWHERE or self._kind[physical] == Kind.TRIM:
            return Kind.NONE, NOWHERE, 0
        return Kind(int(self._kind[physical])), physical, int(self._sequence[physical])

    def held(self) -> list[int]:
        """The logical pages that are written and not discarded, in order."""
        found = np.flatnonzero(self._where != NOWHERE)
        kinds = self._kind[self._where[found]]
        return [int(logical) for logical in found[kinds != Kind.TRIM]]

    def place(self, physical: int, kind: Kind, ids: tuple[int, ...], sequence: int) -> None:
        """This page was programmed, and is the newest version, or tombstone, of these."""
        self._kind[physical], self._sequence[physical] = kind, sequence
        if kind is Kind.DATA:
            (self._logical[physical],) = ids
        elif kind is Kind.LOST:
            self._lost_lists[physical] = ids
        for logical in ids:
            self._drop(logical)
            self._where[logical] = physical
            if kind is not Kind.TRIM:
                self._num_copies[logical] += 1
                self._count(logical, sequence, 1)
        self._num_live[physical] = len(ids)
        self.block_live[physical // self._per_block] += bool(ids)

    def live(self, block: int) -> list[tuple[int, Kind, tuple[int, ...]]]:
        """What must move before the block is erased: (physical page, kind, logical pages)."""
        first = block * self._per_block
        found: list[tuple[int, Kind, tuple[int, ...]]] = []
        for page in np.flatnonzero(self._num_live[first : first + self._per_block]):
            physical = first + int(page)
            kind = Kind(int(self._kind[physical]))
            is_data = kind is Kind.DATA
            ids = self._logical[[physical]] if is_data else np.flatnonzero(self._where == physical)
            found.append((physical, kind, tuple(int(logical) for logical in ids)))
        return found

    def newest(self, block: int) -> int:
        """The highest sequence in the block."""
        first = block * self._per_block
        return int(self._sequence[first : first + self._per_block].max())

    def erase(self, block: int) -> None:
        """The block's pages are gone, but may be back after a crash until `settle`."""
        assert not self.block_live[block], f"block {block} is erased with live pages in it"
        for physical in range(block * self._per_block, (block + 1) * self._per_block):
            if self._kind[physical] == Kind.DATA:
                self._erased.append(int(self._logical[physical]))
            self._erased += self._lost_lists.pop(physical, ())
            self._kind[physical], self._sequence[physical] = Kind.NONE, 0
            self._logical[physical] = NOWHERE

    def settle(self) -> None:
        """All erases are synced: tombstones of what is gone for good are not needed any more."""
        for logical in self._erased:
            self._num_copies[logical] -= 1
            self._drop_if_needless(logical)
        self._erased.clear()

    def settle_all(self) -> None:
        """The same after a restart, when all that lies on the flash has been placed."""
        for logical in np.flatnonzero((self._num_copies == 0) & (self._where != NOWHERE)):
            self._drop_if_needless(int(logical))

    def _drop_if_needless(self, logical: int) -> None:
        if not self._num_copies[logical] and self.find(logical)[0] is Kind.NONE:
            self._drop(logical)

    def _drop(self, logical: int) -> None:
        physical = int(self._where[logical])
        if physical == NOWHERE:
            return
        if self._kind[physical] != Kind.TRIM:
            self._count(logical, int(self._sequence[physical]), -1)
        self._where[logical] = NOWHERE
        self._num_live[physical] -= 1
        self.block_live[physical // self._per_block] -= not self._num_live[physical]

    def _count(self, logical: int, sequence: int, sign: int) -> None:
        self.num_held += sign
        term = xxh3_64_intdigest(struct.pack("<2Q", logical, sequence))
        self.digest = (self.digest + sign * term) % (1 << 64)

"""Which block is written next, which is erased next, and which has worn out. Pure: no IO.

    free ── least worn first ─▶ open ── full ─▶ closed ── its pages moved ─▶ erased ─▶ free
                                                      └── its last cycle over, nothing left ─▶ bad

A block of limit E is programmed E times. In its last cycle it is worn: its pages stay readable, and
it is never erased to be used again; once they are all elsewhere it leaves service.
"""

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from workers.flash.geometry import RESERVE_BLOCKS, FlashGeometry
from workers.host.rng import Rng

Counts: TypeAlias = NDArray[np.int64]


def block_limits(geometry: FlashGeometry, key: int) -> Counts:
    """[num_blocks] int64: how many program/erase cycles each block lasts; equal keys, equal limits.
    Uniform around the nominal: real blocks differ, how is ASSUMED.
    """
    rng, spread = Rng(key), geometry.endurance_spread
    shares = [1 + spread * (2 * rng.uniform("limit", b) - 1) for b in range(geometry.num_blocks)]
    cycles = [max(1, round(share * geometry.endurance_cycles)) for share in shares]
    return np.array(cycles, np.int64)


class Blocks:
    """erases  [num_blocks] so far    limits  [num_blocks]    written  [num_blocks] pages in use,
    counted to the last one; those behind it are erased.
    """

    def __init__(self, geometry: FlashGeometry, limits: Counts, erases: Counts, written: Counts):
        self._geometry = geometry
        self._per_block = geometry.pages_per_block
        self.limits, self.erases, self.written = limits, erases, written
        self.open: int | None = None

    @property
    def is_bad(self) -> NDArray[np.bool_]:
        return self.erases >= self.limits

    @property
    def _is_worn(self) -> NDArray[np.bool_]:
        return self.erases >= self.limits - 1

    @property
    def _is_free(self) -> NDArray[np.bool_]:
        is_free: NDArray[np.bool_] = (self.written == 0) & ~self.is_bad
        return is_free

    @property
    def num_worn(self) -> int:
        """Blocks in their last cycle."""
        return int(np.count_nonzero(self._is_worn & ~self.is_bad))

    @property
    def num_free_pages(self) -> int:
        behind = 0 if self.open is None else self._per_block - int(self.written[self.open])
        return behind + int(np.count_nonzero(self._is_free)) * self._per_block

    def take(self, num_pages: int) -> Iterator[int]:
        """Physical pages to program, in order; there must be as many."""
        for _ in range(num_pages):
            if self.open is None or self.written[self.open] == self._per_block:
                free = np.flatnonzero(self._is_free)
                self.open = int(free[np.argmin(self.erases[free])])
            yield self.open * self._per_block + int(self.written[self.open])
            self.written[self.open] += 1

    def victim(self, block_live: Counts) -> int | None:
        """The block whose erase gains most pages, the least worn of equals; None if none does, or
        the live pages of none have room elsewhere.
        """
        used = np.full(len(self.written), self._per_block)
        room = np.full(len(self.written), self.num_free_pages)
        if self.open is not None:
            used[self.open] = self.written[self.open]
            room[self.open] -= self._per_block - self.written[self.open]
        can = (self.written > 0) & ~self._is_worn & (block_live <= room)
        gains = np.where(can, used - block_live, 0)
        best = np.flatnonzero(gains == gains.max())
        if not gains.max():
            return None
        return int(best[np.argmin(self.erases[best])])

    def cold(self, block_live: Counts) -> int | None:
        """The closed block that lags furthest behind in wear, if it does by too much."""
        closed = (self.written > 0) & ~self._is_worn & (block_live <= self.num_free_pages)
        if self.open is not None:
            closed[self.open] = False
        candidates = np.flatnonzero(closed)
        if not len(candidates):
            return None
        coldest = int(candidates[np.argmin(self.erases[candidates])])
        hottest = int(self.erases[~self.is_bad].max())
        is_cold = hottest - int(self.erases[coldest]) > self._geometry.wear_spread_max
        return coldest if is_cold else None

    def retirable(self, block_live: Counts) -> list[int]:
        """Worn blocks that are written to their end, and hold nothing any more."""
        full = (self.written == self._per_block) & (block_live == 0)
        return [int(block) for block in np.flatnonzero(full & self._is_worn & ~self.is_bad)]

    def erase(self, block: int) -> None:
        self.erases[block] += 1
        self.written[block] = 0
        if self.open == block:
            self.open = None

    def wear_out(self, share: float, draw: float) -> int:
        """So many of all blocks, by `draw` in [0, 1), end here: one that is written is in its last
        cycle, one that is erased is bad. Returns how many.
        """
        rng, num = Rng(int(draw * (1 << 53))), len(self.limits)
        order = sorted(range(num), key=lambda block: rng.uniform("worn", block))
        chosen = order[: math.ceil(share * num)]
        for block in chosen:
            last = int(self.erases[block]) + int(self.written[block] > 0)
            self.limits[block] = min(int(self.limits[block]), last)
        return len(chosen)

    def capacity_pages(self, block_live: Counts) -> int:
        """Logical pages that it can hold: all blocks that can be erased again, and of worn ones
        what they hold and what is still erased in them, less the reserve.
        """
        worn = block_live + self._per_block - self.written
        pages = np.where(self.is_bad, 0, np.where(self._is_worn, worn, self._per_block))
        room = int(pages.sum()) - RESERVE_BLOCKS * self._per_block
        return max(0, min(self._geometry.num_logical, room))

    def remaining_bytes(self) -> int:
        """What can still be programmed before every block has worn out."""
        cycles = int(np.maximum(0, self.limits - self.erases).sum())
        return cycles * self._per_block * self._geometry.page_bytes

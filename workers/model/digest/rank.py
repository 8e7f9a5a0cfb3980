"""A rank of a digest model: some units of KV of some layers.

What attention adds is a sum over units, modulo 2^64: a rank's share is the terms of its own units,
and of their query heads, and the sum over the ranks is the whole, in whatever order it is made. So
it is with a network beside the experts, which is a sum over slices. The rest of a layer each rank
computes for itself, from the same sums.

    enter ─▶ own units ─▶ share ── Reduce ──▶ residual, gate ── (Reduce) ── Experts ──▶
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.parts import Part
from workers.model.digest.chip_model import DigestChip


class DigestRank(DigestChip):
    """RankModel; with all units of its layers, a chip's in one launch."""

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies: [block, layer, span, unit, token] uint64, so that parts can be cut from them."""
        blocks = self._cache.read_blocks(block_ids).view(np.uint64)
        return blocks.reshape(self._shape(len(block_ids)))

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        self._cache.write_window(block_ids, slice(None), slice(None), blocks)

    def write_part(self, block_ids: tuple[int, ...], part: Part, blocks: NDArray[Any]) -> None:
        """Some layers and units of blocks, of those that are here. Raises ValueError where the
        shape does not fit.
        """
        self._cache.write_window(block_ids, *self.part.window_of(part), blocks)

    def _shape(self, num_blocks: int) -> tuple[int, ...]:
        cache = self._cache
        return num_blocks, cache.num_layers, cache.per_block, cache.units, cache.span

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
from workers.model.base import MoeInput, StepLayout
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.mixing import Digests, mixed
from workers.model.forward import over_ranks
from workers.model.program import Enter, Program


class DigestRank(DigestChip):
    """RankModel; with all units of its layers, a chip's in one launch."""

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """Two launches with sums over the ranks behind them, then the experts."""
        if self.part.heads is None:
            return super().layer(layer, enter, layout)
        return over_ranks(self, layer, enter, layout)

    def attention_share(
        self, layer: int, enter: Enter, layout: StepLayout
    ) -> tuple[Digests, Digests]:
        x, plan = enter(), self._plans.of(layout)
        found_TU = self._found(layer, self._written(layer, x, plan), plan)
        return x, self._share(layer, found_TU)

    def behind(
        self, layer: int, x: Digests, sums_T: Digests, layout: StepLayout
    ) -> tuple[Digests, Digests | None, MoeInput | None]:
        y = mixed(x + sums_T)
        return y, self._beside(layer, y), self._chosen(layer, y, self._plans.of(layout))

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

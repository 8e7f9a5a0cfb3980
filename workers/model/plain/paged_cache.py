"""Memory of a chip's KV blocks, in the layout in which blocks travel.

    block 0                       block 1
    ┌ plane 0 ─┬ plane 1 ─┬ ...┐ ┌ plane 0 ...       a plane: `block_size` rows, one a token
    └──────────┴──────────┴────┘ └                   planes: of each layer, e.g. keys and values

Planes count through all blocks: plane p of block b is number b * planes_a_block + p.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.model.no_memory import no_memory
from workers.model.parts.block_ids import checked_blocks
from workers.model.parts.positions import Indices
from workers.model.parts.rows import Floats

# Layers, and heads (all numbers of a latent), of a block.
Window = tuple[slice, slice]


class PagedCache:
    """[num_blocks, *planes, block_size, *row] float32, zero at first.

    planes   shape of a block's planes, e.g. (layers, 2)
    row      shape of what a token leaves in one plane, e.g. (kv_heads, head_dim)
    """

    def __init__(
        self, num_blocks: int, planes: tuple[int, ...], block_size: int, row: tuple[int, ...]
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.planes_a_block = prod(planes)
        self.row_width = prod(row)
        self._row = row
        shape = (num_blocks, *planes, block_size, *row)
        try:
            self._blocks: Floats = np.zeros(shape, dtype=np.float32)
        except MemoryError:
            raise no_memory(num_blocks, 4 * prod(shape)) from None
        # The same memory as rows: of a token, and of a plane.
        self._token_rows = self._blocks.reshape(-1, self.row_width)
        self._plane_rows = self._blocks.reshape(-1, block_size * self.row_width)

    @property
    def block_bytes(self) -> int:
        return int(self._blocks[0].nbytes)

    def write(self, planes_T: Indices, offsets_T: Indices, rows: Floats) -> None:
        """Each token's row, [T, *row], into its plane at its offset in the block."""
        places = planes_T * self.block_size + offsets_T
        self._token_rows[places] = rows.reshape(-1, self.row_width)

    def windows(self, planes: Indices) -> Floats:
        """Copies of some planes' rows, in their order: [G, P] -> [G, P * block_size, *row]."""
        rows = self._plane_rows.take(planes, axis=0)
        return rows.reshape(planes.shape[0], -1, *self._row)

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies: [block, *planes, block_size, *row] float32. Raises ValueError on unknown ids."""
        return self._blocks[self.check_ids(block_ids)]

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        expected = (len(block_ids), *self._blocks.shape[1:])
        if blocks.shape != expected:
            raise ValueError(f"KV blocks have shape {blocks.shape}; it must be {expected}")
        self._blocks[self.check_ids(block_ids)] = blocks

    def write_window(
        self, block_ids: tuple[int, ...], window: Window, blocks: NDArray[Any]
    ) -> None:
        """A window of each block: its first plane axis and the first axis of a row, cut. Raises
        ValueError where the shape does not fit.
        """
        ids, whole = self.check_ids(block_ids), self._blocks.shape[1:]
        layers, heads = window
        middle = (slice(None),) * (len(whole) - 1 - len(self._row))
        index: tuple[slice, ...] = (layers, *middle, heads)
        expected = (len(ids), *self._blocks[0][index].shape)
        if blocks.shape != expected:
            raise ValueError(f"KV blocks have shape {blocks.shape}; it must be {expected}")
        where: tuple[Any, ...] = (ids, *index)
        self._blocks[where] = blocks

    def check_ids(self, block_ids: tuple[int, ...]) -> Indices:
        """As an array. Raises ValueError on ids outside the cache."""
        return checked_blocks(block_ids, self.num_blocks)

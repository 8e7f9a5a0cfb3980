"""KV blocks of which nothing is kept: a byte a layer and unit (a KV head, or the latent), that a
block on its way has something to be cut, checked and counted by.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.model.parts.block_ids import checked_blocks


class NoKeys:
    """block_bytes   carried for a block, all layers; all of them zero"""

    def __init__(self, num_blocks: int, num_layers: int, units: int) -> None:
        self.num_blocks, self.num_layers, self.units = num_blocks, num_layers, units
        self.block_bytes = num_layers * units

    def read_blocks(self, block_ids: Any) -> NDArray[np.uint8]:
        """[block, block_bytes] uint8, layer by layer. Raises ValueError on unknown ids."""
        return np.zeros((len(self._checked(block_ids)), self.block_bytes), dtype=np.uint8)

    def write_blocks(self, block_ids: Any, blocks: NDArray[Any]) -> None:
        """Raises ValueError where `read_blocks` would not give them."""
        self.write_window(block_ids, blocks, (self.block_bytes,))

    def write_window(self, block_ids: Any, blocks: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Some part of each block, of that shape. Raises ValueError where it does not fit."""
        expected = (len(self._checked(block_ids)), *shape)
        if blocks.shape != expected or blocks.dtype != np.uint8:
            raise ValueError(
                f"KV blocks are {blocks.dtype} {blocks.shape}; they must be uint8 {expected}"
            )

    def _checked(self, block_ids: Any) -> NDArray[np.int64]:
        return checked_blocks(block_ids, self.num_blocks)

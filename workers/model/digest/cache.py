"""A chip's KV blocks as digests: one for each layer, token and unit (a KV head, or the latent).

    block   span 0                      span 1 ...        a span: `span_of(block_size)` tokens
            unit 0: token 0 1 2 ...     unit 0: ...

A span's digest of one unit is the sum of its tokens'; it is never kept, so what is read is always
what is there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests
from workers.model.digest.shape import span_of

Indices = NDArray[np.int64]
_DIGEST_BYTES = 8


class DigestCache:
    """[layers, spans, units, tokens of a span] uint64, zero at first.

    block_bytes   carried for a block, all layers
    per_block     spans of a block

    Raises MemoryError where this machine has not so much.
    """

    def __init__(self, num_blocks: int, block_size: int, num_layers: int, units: int) -> None:
        self.num_blocks, self.num_layers = num_blocks, num_layers
        self.span = span_of(block_size)
        self.per_block = block_size // self.span
        self.block_bytes = num_layers * units * block_size * _DIGEST_BYTES
        shape = (num_layers, num_blocks * self.per_block, units, self.span)
        self._keys: Digests = np.zeros(shape, dtype=np.uint64)

    def write(self, layer: int, spans_T: Indices, slots_T: Indices, keys_TU: Digests) -> None:
        """Each token's digests into its slot of its span."""
        self._keys[layer][spans_T, :, slots_T] = keys_TU

    def whole(self, layer: int, spans_G: Indices) -> Digests:
        """Sums over all tokens of some spans: [G, U]."""
        sums: Digests = self._keys[layer].take(spans_G, axis=0).sum(axis=2)
        return sums

    def begun(self, layer: int, spans_T: Indices, seen_TS: Digests) -> Digests:
        """Sums over the tokens that each may see of its span (1, else 0): [T, U]."""
        keys = self._keys[layer].take(spans_T, axis=0)
        keys *= seen_TS[:, None, :]
        sums: Digests = keys.sum(axis=2)
        return sums

    def spans_of(self, block_ids: Any) -> Indices:
        """Of blocks, in order. Raises ValueError on unknown ids."""
        ids = np.asarray(block_ids, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_blocks:
            raise ValueError(
                f"KV block ids span {ids.min()} .. {ids.max()}; "
                f"they must be from 0 to {self.num_blocks - 1}"
            )
        return (ids[:, None] * self.per_block + np.arange(self.per_block)).reshape(-1)

    def read_blocks(self, block_ids: Any) -> NDArray[np.uint8]:
        """Copies: [block, block_bytes] uint8, layer by layer."""
        blocks = self._keys[:, self.spans_of(block_ids)]
        by_block = blocks.reshape(self.num_layers, len(block_ids), -1).transpose(1, 0, 2)
        flat = np.ascontiguousarray(by_block).reshape(len(block_ids), -1)
        return flat.view(np.uint8).reshape(len(block_ids), self.block_bytes)

    def write_blocks(self, block_ids: Any, blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        expected = (len(block_ids), self.block_bytes)
        if blocks.shape != expected or blocks.dtype != np.uint8:
            raise ValueError(
                f"KV blocks are {blocks.dtype} {blocks.shape}; they must be uint8 {expected}"
            )
        spans = self.spans_of(block_ids)
        keys = np.ascontiguousarray(blocks).view(np.uint64)
        by_layer = keys.reshape(len(block_ids), self.num_layers, -1).transpose(1, 0, 2)
        self._keys[:, spans] = by_layer.reshape(self.num_layers, len(spans), *self._keys.shape[2:])

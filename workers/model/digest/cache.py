"""A chip's KV blocks as digests: one for each layer, token and unit (a KV head, or the latent).

    block   layer 0: span 0          span 1 ...   layer 1: ...     a span: `span_of(block_size)`
                     unit 0: token 0 1 2 ...                       tokens
                     unit 1: ...

A span's digest of one unit is the sum of its tokens'; it is never kept, so what is read is always
what is there. A block lies in one piece, as it travels, so that memory is touched as blocks are.
"""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.model.digest.mixing import Digests
from workers.model.digest.shape import span_of
from workers.model.parts.block_ids import checked_blocks
from workers.model.parts.positions import Indices

_DIGEST_BYTES = 8


class DigestCache:
    """[blocks, layers, spans of a block, units, tokens of a span] uint64, zero at first.

    block_bytes   carried for a block, all layers
    per_block     spans of a block

    Spans are named by their row in layer 0. Raises MemoryError where this machine has not so much.
    """

    def __init__(
        self, num_blocks: int, block_size: int, num_layers: int, units: int, span: int | None = None
    ) -> None:
        """span   tokens of one; None: that of such blocks"""
        self.num_blocks, self.num_layers, self.units = num_blocks, num_layers, units
        self.span = span or span_of(block_size)
        self.per_block = block_size // self.span
        self.block_bytes = num_layers * units * block_size * _DIGEST_BYTES
        self._over(np.zeros((num_blocks, self.block_bytes), dtype=np.uint8))

    def _over(self, blocks: NDArray[np.uint8]) -> None:
        self._blocks = blocks
        # The same memory, a row for each span of a layer.
        self._keys: Digests = blocks.reshape(-1).view(np.uint64).reshape(-1, self.units, self.span)

    def part(self, first: int, num_blocks: int) -> "DigestCache":
        """Some of the blocks as a cache of their own, over the same memory."""
        part = copy.copy(self)
        part.num_blocks = num_blocks
        part._over(self._blocks[first : first + num_blocks])
        return part

    def write(self, layer: int, spans_T: Indices, slots_T: Indices, keys_TU: Digests) -> None:
        """Each token's digests into its slot of its span."""
        self._keys[spans_T + layer * self.per_block, :, slots_T] = keys_TU

    def read(self, layer: int, spans_T: Indices, slots_T: Indices) -> Digests:
        """What `write` left there: [T, U]."""
        keys: Digests = self._keys[spans_T + layer * self.per_block, :, slots_T]
        return keys

    def whole(self, layer: int, spans_G: Indices) -> Digests:
        """Sums over all tokens of some spans: [G, U]."""
        sums: Digests = self._keys.take(spans_G + layer * self.per_block, axis=0).sum(axis=2)
        return sums

    def begun(self, layer: int, spans_T: Indices, seen_TS: Digests) -> Digests:
        """Sums over the tokens that each may see of its span (1, else 0): [T, U]."""
        keys = self._keys.take(spans_T + layer * self.per_block, axis=0)
        keys *= seen_TS[:, None, :]
        sums: Digests = keys.sum(axis=2)
        return sums

    def spans_of(self, block_ids: Any) -> Indices:
        """Of blocks, in order. Raises ValueError on unknown ids."""
        first = self._checked(block_ids) * (self.num_layers * self.per_block)
        return (first[:, None] + np.arange(self.per_block)).reshape(-1)

    def read_blocks(self, block_ids: Any) -> NDArray[np.uint8]:
        """Copies: [block, block_bytes] uint8, layer by layer. Raises ValueError on unknown ids."""
        return self._blocks[self._checked(block_ids)]

    def write_blocks(self, block_ids: Any, blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        expected = (len(block_ids), self.block_bytes)
        if blocks.shape != expected or blocks.dtype != np.uint8:
            raise ValueError(
                f"KV blocks are {blocks.dtype} {blocks.shape}; they must be uint8 {expected}"
            )
        self._blocks[self._checked(block_ids)] = blocks

    def write_window(self, block_ids: Any, layers: slice, units: slice, keys: NDArray[Any]) -> None:
        """Some layers and units of each block: [block, layer, span, unit, token] uint64. Raises
        ValueError where the shape does not fit.
        """
        ids = self._checked(block_ids)
        every = self._keys.reshape(
            self.num_blocks, self.num_layers, self.per_block, self.units, self.span
        )
        expected = (len(ids), *every[0, layers, :, units].shape)
        if keys.shape != expected or keys.dtype != np.uint64:
            raise ValueError(
                f"parts of KV blocks are {keys.dtype} {keys.shape}; they must be uint64 {expected}"
            )
        every[ids, layers, :, units] = keys

    def _checked(self, block_ids: Any) -> Indices:
        return checked_blocks(block_ids, self.num_blocks)

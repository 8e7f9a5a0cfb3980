"""Blocks and what a step sees of them, in numpy: what the native code must agree with."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.paged.layout import Layout

# A block holds a multiple of so many tokens: a native tile, or step, lies in one block.
STEP = 16


class Blocks:
    """Blocks as bytes, [num_blocks, num_layers, ...]: how a block's are laid out, its op knows."""

    def __init__(
        self, kind: str, num_blocks: int, block_size: int, num_layers: int, inner: tuple[int, ...]
    ) -> None:
        check_size("num_blocks", num_blocks, 2**31 - 1)
        check_size("block_size", block_size, 256, STEP)
        check_size("num_layers", num_layers, 65536)
        self.kind, self.block_size = kind, block_size
        self.data = np.zeros((num_blocks, num_layers, *inner), dtype=np.uint8)

    @property
    def block_bytes(self) -> int:
        return int(self.data[0].nbytes)

    def check_ids(self, ids: NDArray[Any]) -> None:
        if ids.ndim != 1 or ((ids < 0) | (ids >= len(self.data))).any():
            raise ValueError(f"ids are {ids}; each must be from 0 to {len(self.data) - 1}")

    def read_blocks(self, ids: NDArray[Any]) -> NDArray[np.uint8]:
        self.check_ids(ids)
        held: NDArray[np.uint8] = self.data[ids].reshape(len(ids), self.block_bytes)
        return held

    def write_blocks(self, ids: NDArray[Any], data: NDArray[np.uint8]) -> None:
        self.check_ids(ids)
        if data.shape != (len(ids), self.block_bytes) or data.dtype != np.uint8:
            raise ValueError(
                f"data has shape {data.shape} and dtype {data.dtype}; it must be uint8 "
                f"{(len(ids), self.block_bytes)}"
            )
        for block, row in zip(ids, data, strict=True):
            self.data[block] = row.reshape(self.data.shape[1:])

    def check_slots(self, blocks_T: NDArray[Any], offsets_T: NDArray[Any]) -> None:
        if offsets_T.shape != blocks_T.shape:
            raise ValueError(f"offsets_T has shape {offsets_T.shape}, blocks_T {blocks_T.shape}")
        known = (blocks_T >= 0) & (blocks_T < len(self.data))
        known &= (offsets_T >= 0) & (offsets_T < self.block_size)
        if not known.all():
            t = int(np.argmin(known))
            raise ValueError(
                f"token {t} goes to block {blocks_T[t]}, offset {offsets_T[t]}; there are "
                f"{len(self.data)} blocks of {self.block_size}"
            )

    def seen(self, layout: Layout, window: int) -> Iterator[tuple[NDArray[np.int32], slice]]:
        """For each new token, the blocks that hold what it sees, and which of their slots.

        Raises ValueError where one of them lies outside the cache.
        """
        size = self.block_size
        for s, count in enumerate(layout.counts_S):
            first, end = int(layout.first_keys_S[s]), int(layout.end_keys_S[s])
            table = layout.blocks[layout.block_offsets[s] : layout.block_offsets[s + 1]]
            for position in range(layout.starts_S[s], layout.starts_S[s] + count):
                begin = max(first, position - window + 1) if window else first
                num = max(0, min(end, position + 1) - begin)
                skip = (begin - first) % size
                held = table[(begin - first) // size :][: -(-(num + skip) // size) if num else 0]
                if ((held < 0) | (held >= len(self.data))).any():
                    raise ValueError(
                        f"sequence {s}: a block is {held.min()} or {held.max()}; it must be from "
                        f"0 to {len(self.data) - 1}"
                    )
                yield held, slice(skip, skip + num)


def check_size(name: str, value: int, most: int, step: int = 1) -> None:
    """Raises ValueError unless it is a multiple of `step`, from `step` to `most`."""
    if not step <= value <= most or value % step:
        multiple = f"a multiple of {step} " if step > 1 else ""
        raise ValueError(f"{name} is {value}; it must be {multiple}from {step} to {most}")

"""A cache in blocks as Python sees it: in the native library where there is one, else in numpy."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from kernels.native import lib
from kernels.numbers import Floats
from kernels.paged.layout import Layout
from kernels.paged.ref import Blocks

Kind = Literal["fp32", "bf16", "int8"]
KINDS = ("fp32", "bf16", "int8")
Plain = TypeVar("Plain", bound=Blocks)


class PagedCache(ABC, Generic[Plain]):
    """Blocks of tokens, each with all layers; zeros until they are written.

    block_size  tokens of a block: a multiple of 16 up to 256

    `_handle` is the library's; `_plain` holds the blocks where there is none.
    """

    __slots__ = ("_handle", "_plain", "block_size", "kind", "num_blocks", "num_layers")

    def __init__(self, kind: Kind, num_blocks: int, block_size: int, num_layers: int) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; a cache takes fp32, bf16 or int8")
        self.kind, self.num_blocks, self.block_size = kind, num_blocks, block_size
        self.num_layers = num_layers
        self._plain: Plain | None = None
        self._handle: object = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """num_blocks, block_size, num_layers, then what a token's row is made of."""

    @property
    def stored(self) -> object:
        """The library's handle: for ops that attend as one of their parts."""
        return self._handle

    @property
    def block_bytes(self) -> int:
        if self._plain is not None:
            return self._plain.block_bytes
        return int(lib.paged_block_bytes(self._handle))

    def read_blocks(self, ids: NDArray[Any]) -> NDArray[np.uint8]:
        """Copies of blocks, [len(ids), block_bytes]. Raises ValueError on an unknown id."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is not None:
            return self._plain.read_blocks(ids)
        out = np.empty((len(ids), self.block_bytes), dtype=np.uint8)
        lib.paged_read_blocks(self._handle, ids, out)
        return out

    def write_blocks(self, ids: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """The reverse, in order: of an id that is given twice, the last bytes stay."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is not None:
            self._plain.write_blocks(ids, data)
        else:
            lib.paged_write_blocks(self._handle, ids, data)

    def _plan(
        self, make: Callable[..., object], layout: Layout, num_heads: int, window: int
    ) -> object:
        """What the library has worked out for a step, once for all layers of one window."""
        key = (type(self), self.shape, num_heads, window)
        if key not in layout.plans:
            layout.plans[key] = make(
                self._handle, num_heads, layout.starts_S, layout.counts_S, layout.first_keys_S,
                layout.end_keys_S, layout.block_offsets, layout.blocks, window,
            )  # fmt: skip
        return layout.plans[key]

    # -- what the library checks itself ----------------------------------------------------------

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < self.num_layers:
            raise ValueError(f"layer is {layer}; it must be from 0 to {self.num_layers - 1}")

    def _check_step(self, layer: int, layout: Layout, window: int, scale: float) -> None:
        self._check_layer(layer)
        if window < 0:
            raise ValueError(f"window is {window}; it must be at least 0")
        if not 0 < scale < 1e30:
            raise ValueError(f"scale is {scale}; it must be a number above 0")
        layout.check(self.block_size)


def rows(x: NDArray[Any]) -> NDArray[Any]:
    """As it is where the kernel can walk over it, else a copy: no gaps within a token, aligned."""
    whole = x.ndim in (2, 3) and x.flags.aligned and x.strides[-1] == x.itemsize
    whole = whole and x.strides[0] % x.itemsize == 0
    whole = whole and (x.ndim == 2 or x.strides[1] == x.shape[2] * x.itemsize)
    return x if whole else x.copy()


def check_floats(name: str, x: Floats, shape: tuple[int, ...]) -> None:
    """Raises ValueError, with the numbers, unless x is float32 of this shape."""
    if x.shape != shape or x.dtype != np.float32:
        raise ValueError(f"{name} has shape {x.shape}, {x.dtype}; it must be float32 {shape}")

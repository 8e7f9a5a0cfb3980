"""Paged attention on CPU: decode and prefill in one call, for any number of heads a KV head.

    cache = attention.KvCache("bf16", num_blocks, block_size, num_layers, num_kv_heads, head_dim)
    layout = attention.Layout([attention.Span(start, count, blocks), ...])        # once a step
    cache.write(layer, *layout.slots(block_size), k_THD, v_THD)
    out_TND = attention.forward(cache, layer, q_TND, layout)

A query sees keys up to its own position. Its bits depend on that position, its q and the bytes of
the keys and values alone: not on the batch, the chunks of a prefill, threads or blocks.
Letters: T new tokens, N query heads, H KV heads, D head_dim, P parts.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernels.attention import ref
from kernels.attention.layout import Layout, Span
from kernels.native import lib
from kernels.numbers import Floats

__all__ = ["KvCache", "Layout", "Span", "forward", "merge"]

Kind = Literal["fp32", "bf16", "int8"]


class KvCache:
    """Keys and values of all layers, in blocks; zeros until they are written.

    kind        fp32 (exact mode), bf16, or int8 with a scale for each token's K and V in each head
    block_size  tokens of a block: a multiple of 16 up to 256
    head_dim    a multiple of 16 up to 256

    A block's bytes, of all layers, mean the same in each cache of equal kind and shape, whatever
    the instruction set. Raises ValueError on other sizes or kinds, MemoryError on too many blocks.
    """

    __slots__ = (
        "_handle", "_plain", "block_size", "head_dim", "kind", "num_blocks", "num_kv_heads",
        "num_layers",
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        num_blocks: int,
        block_size: int,
        num_layers: int,
        num_kv_heads: int,
        head_dim: int,
    ) -> None:
        if kind not in ref.UNITS:
            raise ValueError(f"kind is {kind!r}; a cache takes fp32, bf16 or int8")
        self.kind, self.num_blocks, self.block_size = kind, num_blocks, block_size
        self.num_layers, self.num_kv_heads, self.head_dim = num_layers, num_kv_heads, head_dim
        sizes = (num_blocks, block_size, num_layers, num_kv_heads, head_dim)
        self._plain: ref.Cache | None = None
        self._handle: object = None
        if lib is None:
            self._plain = ref.Cache(kind, *sizes)
        else:
            self._handle = lib.attention_create(kind, *sizes)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(num_blocks, block_size, num_layers, num_kv_heads, head_dim)"""
        return (
            self.num_blocks, self.block_size, self.num_layers, self.num_kv_heads, self.head_dim
        )  # fmt: skip

    @property
    def stored(self) -> object:
        """The library's handle: for ops that attend as one of their parts."""
        return self._handle

    @property
    def block_bytes(self) -> int:
        if self._plain is not None:
            return int(self._plain.data[0].nbytes)
        return int(lib.attention_block_bytes(self._handle))

    def read_blocks(self, ids: NDArray[Any]) -> NDArray[np.uint8]:
        """Copies of blocks, [len(ids), block_bytes]. Raises ValueError on an unknown id."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is not None:
            self._check_ids(ids)
            held: NDArray[np.uint8] = self._plain.data[ids].reshape(len(ids), self.block_bytes)
            return held
        out = np.empty((len(ids), self.block_bytes), dtype=np.uint8)
        lib.attention_read_blocks(self._handle, ids, out)
        return out

    def write_blocks(self, ids: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """The reverse, in order: of an id that is given twice, the last bytes stay."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is None:
            lib.attention_write_blocks(self._handle, ids, data)
            return
        self._check_ids(ids)
        if data.shape != (len(ids), self.block_bytes) or data.dtype != np.uint8:
            raise ValueError(
                f"data has shape {data.shape} and dtype {data.dtype}; it must be uint8 "
                f"{(len(ids), self.block_bytes)}"
            )
        for block, row in zip(ids, data, strict=True):
            self._plain.data[block] = row.reshape(self._plain.data.shape[1:])

    def write(
        self,
        layer: int,
        blocks_T: NDArray[Any],
        offsets_T: NDArray[Any],
        k_THD: Floats,
        v_THD: Floats,
    ) -> None:
        """Keys and values of new tokens, float32, each to its slot; slots must be distinct.

        Raises ValueError on an unknown slot or layer, or where shapes or dtypes do not fit.
        """
        if self._plain is None:
            k, v = _rows(k_THD), _rows(v_THD)
            lib.attention_write(self._handle, int(layer), blocks_T, offsets_T, k, v)
            return
        self._check_layer(layer)
        for name, x in (("k_THD", k_THD), ("v_THD", v_THD)):
            _check(name, x, (len(blocks_T), self.num_kv_heads, self.head_dim))
        if offsets_T.shape != blocks_T.shape:
            raise ValueError(f"offsets_T has shape {offsets_T.shape}, blocks_T {blocks_T.shape}")
        self._plain.write(layer, blocks_T, offsets_T, k_THD, v_THD)

    def read(self, layer: int, block: int) -> tuple[Floats, Floats]:
        """What one block's bytes stand for, K and V, each float32 [block_size, H, D]."""
        if self._plain is None:
            shape = (self.block_size, self.num_kv_heads, self.head_dim)
            k, v = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
            lib.attention_read(self._handle, int(layer), int(block), k, v)
            return k, v
        self._check_layer(layer)
        self._check_ids(np.array([block]))
        return self._plain.keys_and_values(np.array([block]), layer)

    def run(
        self,
        layer: int,
        q_TND: Floats,
        layout: Layout,
        window: int,
        scale: float,
        out_TND: Floats,
        lse_TN: Floats | None,
    ) -> None:
        if self._plain is None:
            plan = self._plan(layout, q_TND.shape[1], window)
            lib.attention_forward(self._handle, plan, layer, _rows(q_TND), out_TND, lse_TN, scale)
            return
        self._check_layer(layer)
        num_heads = q_TND.shape[1]
        if num_heads < 1 or num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads is {num_heads}; it must be a multiple of the cache's "
                f"{self.num_kv_heads} KV heads"
            )
        if window < 0:
            raise ValueError(f"window is {window}; it must be at least 0")
        if not 0 < scale < 1e30:
            raise ValueError(f"scale is {scale}; it must be a number above 0")
        layout.check(self.block_size)
        shape = (layout.num_tokens, num_heads, self.head_dim)
        _check("q_TND", q_TND, shape)
        _check("out_TND", out_TND, shape)
        if lse_TN is not None:
            _check("lse_TN", lse_TN, shape[:2])
        ref.forward(self._plain, layer, q_TND, layout, window, scale, out_TND, lse_TN)

    def _plan(self, layout: Layout, num_heads: int, window: int) -> object:
        key = (self.shape, num_heads, window)
        if key not in layout.plans:
            layout.plans[key] = lib.attention_plan(
                self._handle, num_heads, layout.starts_S, layout.counts_S, layout.first_keys_S,
                layout.end_keys_S, layout.block_offsets, layout.blocks, window,
            )  # fmt: skip
        return layout.plans[key]

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < self.num_layers:
            raise ValueError(f"layer is {layer}; it must be from 0 to {self.num_layers - 1}")

    def _check_ids(self, ids: NDArray[Any]) -> None:
        if ids.ndim != 1 or ((ids < 0) | (ids >= self.num_blocks)).any():
            raise ValueError(f"ids are {ids}; each must be from 0 to {self.num_blocks - 1}")


def _rows(x: NDArray[Any]) -> NDArray[Any]:
    """As it is where the kernel can walk over it, else a copy: no gaps within a token, aligned."""
    whole = x.ndim == 3 and x.flags.aligned and x.strides[2] == x.itemsize
    whole = whole and x.strides[1] == x.shape[2] * x.itemsize and x.strides[0] % x.itemsize == 0
    return x if whole else x.copy()


def _check(name: str, x: NDArray[Any], shape: tuple[int, ...]) -> None:
    if x.shape != shape or x.dtype != np.float32:
        raise ValueError(f"{name} has shape {x.shape}, {x.dtype}; it must be float32 {shape}")


def forward(
    cache: KvCache,
    layer: int,
    q_TND: Floats,
    layout: Layout,
    out_TND: Floats | None = None,
    lse_TN: Floats | None = None,
    window: int = 0,
    scale: float | None = None,
) -> Floats:
    """Attention of new tokens, whose keys are already written, [T, N, D] into `out_TND`.

    q_TND   float32, any strides and alignment; query head n uses KV head n // (N / H)
    lse_TN  float32, receives the log-sum-exp of the scaled scores, in natural logarithm
    window  a query at p sees keys p - window + 1 .. p; 0: all up to p
    scale   of the scores, above 0; 1 / sqrt(D) where left out

    Where the layout says that only some keys are here, the result is a part for `merge`; a query
    that sees none gets zeros and a log-sum-exp of -infinity. out_TND and lse_TN are overwritten;
    they must be C-contiguous. Raises ValueError where anything does not fit.
    """
    if q_TND.ndim != 3:
        raise ValueError(f"q_TND has shape {q_TND.shape}; it must have 3 dimensions")
    if out_TND is None:
        out_TND = np.empty(q_TND.shape, dtype=np.float32)
    cache.run(
        int(layer), q_TND, layout, int(window),
        cache.head_dim**-0.5 if scale is None else float(scale), out_TND, lse_TN,
    )  # fmt: skip
    return out_TND


def merge(
    outs_PTND: NDArray[Any], lses_PTN: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Results over disjoint keys, and their log-sum-exps, as one: (out [T, N, D], lse [T, N]).

    In float64, parts added in order. A part with -infinity has no weight, whatever its `out` holds;
    where all have, out is 0 and lse -infinity.
    """
    if outs_PTND.ndim != 4 or lses_PTN.shape != outs_PTND.shape[:3]:
        raise ValueError(
            f"outs_PTND has shape {outs_PTND.shape}, lses_PTN {lses_PTN.shape}; they must be "
            f"[P, T, N, D] and [P, T, N]"
        )
    return ref.merge(outs_PTND, lses_PTN)

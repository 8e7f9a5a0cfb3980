"""Paged attention on CPU: decode and prefill in one call, for any number of heads a KV head.

    cache = attention.KvCache("bf16", num_blocks, block_size, num_layers, num_kv_heads, head_dim)
    layout = attention.Layout([attention.Span(start, count, blocks), ...])        # once a step
    cache.write(layer, *layout.slots(block_size), k_THD, v_THD)
    out_TND = attention.forward(cache, layer, q_TND, layout)

A query sees keys up to its own position. Its bits depend on that position, its q and the bytes of
the keys and values alone: not on the batch, the chunks of a prefill, threads or blocks.
Letters: T new tokens, N query heads, H KV heads, D head_dim, P parts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.attention import ref
from kernels.native import lib
from kernels.numbers import Floats
from kernels.paged.cache import Kind, PagedCache, check_floats, rows
from kernels.paged.layout import Layout, Span

__all__ = ["Kind", "KvCache", "Layout", "Span", "forward", "merge"]


class KvCache(PagedCache[ref.Cache]):
    """Keys and values of all layers, in blocks; zeros until they are written.

    kind        fp32 (exact mode), bf16, or int8 with a scale for each token's K and V in each head
    block_size  tokens of a block: a multiple of 16 up to 256
    head_dim    a multiple of 16 up to 256

    A block's bytes, of all layers, mean the same in each cache of equal kind and shape, whatever
    the instruction set. Raises ValueError on other sizes or kinds, MemoryError on too many blocks.
    """

    __slots__ = ("head_dim", "num_kv_heads")

    def __init__(
        self,
        kind: Kind,
        num_blocks: int,
        block_size: int,
        num_layers: int,
        num_kv_heads: int,
        head_dim: int,
    ) -> None:
        super().__init__(kind, num_blocks, block_size, num_layers)
        self.num_kv_heads, self.head_dim = num_kv_heads, head_dim
        if lib is None:
            self._plain = ref.Cache(kind, *self.shape)
        else:
            self._handle = lib.attention_create(kind, *self.shape)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(num_blocks, block_size, num_layers, num_kv_heads, head_dim)"""
        return (
            self.num_blocks, self.block_size, self.num_layers, self.num_kv_heads, self.head_dim
        )  # fmt: skip

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
            k, v = rows(k_THD), rows(v_THD)
            lib.attention_write(self._handle, int(layer), blocks_T, offsets_T, k, v)
            return
        self._check_layer(layer)
        for name, x in (("k_THD", k_THD), ("v_THD", v_THD)):
            check_floats(name, x, (len(blocks_T), self.num_kv_heads, self.head_dim))
        self._plain.write(layer, blocks_T, offsets_T, k_THD, v_THD)

    def read(self, layer: int, block: int) -> tuple[Floats, Floats]:
        """What one block's bytes stand for, K and V, each float32 [block_size, H, D]."""
        if self._plain is None:
            shape = (self.block_size, self.num_kv_heads, self.head_dim)
            k, v = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
            lib.attention_read(self._handle, int(layer), int(block), k, v)
            return k, v
        self._check_layer(layer)
        self._plain.check_ids(np.array([block]))
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
            plan = self._plan(lib.attention_plan, layout, q_TND.shape[1], window)
            lib.attention_forward(self._handle, plan, layer, rows(q_TND), out_TND, lse_TN, scale)
            return
        self._check_step(layer, layout, window, scale)
        num_heads = q_TND.shape[1]
        if num_heads < 1 or num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads is {num_heads}; it must be a multiple of the cache's "
                f"{self.num_kv_heads} KV heads"
            )
        shape = (layout.num_tokens, num_heads, self.head_dim)
        check_floats("q_TND", q_TND, shape)
        check_floats("out_TND", out_TND, shape)
        if lse_TN is not None:
            check_floats("lse_TN", lse_TN, shape[:2])
        ref.forward(self._plain, layer, q_TND, layout, window, scale, out_TND, lse_TN)


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

"""Absorbed multi-head latent attention (DeepSeek-V2 and V3) on CPU, paged: decode and prefill.

    cache = mla.LatentCache("bf16", num_blocks, block_size, num_layers, latent=512, rope=64)
    layout = mla.Layout([mla.Span(start, count, blocks), ...])                    # once a step
    cache.write(layer, *layout.slots(block_size), latent_TL, rope_TR)
    out_THL = mla.forward(cache, layer, q_THD, layout, scale=scale)

All heads meet one row a key: scores are q . [latent | rope], outputs are sums of latents, of which
the second half of kv_b_proj makes values (arXiv 2405.04434, section 2.1). A query sees keys up to
its own position. Its bits depend on that position, its q and the rows' bytes alone: not on the
batch, the chunks of a prefill, threads or blocks.
Letters: T new tokens, H heads, L latent channels, R rope channels, D = L + R.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kernels.attention import merge
from kernels.attention.layout import Layout, Span
from kernels.mla import ref
from kernels.native import lib
from kernels.numbers import Floats

__all__ = ["LatentCache", "Layout", "Span", "forward", "merge"]

Kind = Literal["fp32", "bf16", "int8"]
HEADS_MAX = 1024


class LatentCache:
    """Latents and rotated keys of all layers, in blocks; zeros until they are written.

    kind          fp32 (exact mode), bf16, or int8 with a scale for each token's latent and rope
    block_size    tokens of a block: a multiple of 16 up to 256
    latent, rope  channels (kv_lora_rank, qk_rope_head_dim): multiples of 16 up to 4096

    A block's bytes, of all layers, mean the same in each cache of equal kind and shape, whatever
    the instruction set. Raises ValueError on other sizes or kinds, MemoryError on too many blocks.
    """

    __slots__ = (
        "_handle", "_plain", "block_size", "kind", "latent", "num_blocks", "num_layers", "rope"
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        num_blocks: int,
        block_size: int,
        num_layers: int,
        latent: int,
        rope: int,
    ) -> None:
        if kind not in ref.ITEM_BYTES:
            raise ValueError(f"kind is {kind!r}; a cache takes fp32, bf16 or int8")
        self.kind, self.num_blocks, self.block_size = kind, num_blocks, block_size
        self.num_layers, self.latent, self.rope = num_layers, latent, rope
        self._plain: ref.Cache | None = None
        self._handle: object = None
        if lib is None:
            self._plain = ref.Cache(kind, *self.shape)
        else:
            self._handle = lib.mla_create(kind, *self.shape)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(num_blocks, block_size, num_layers, latent, rope)"""
        return (self.num_blocks, self.block_size, self.num_layers, self.latent, self.rope)

    @property
    def block_bytes(self) -> int:
        if self._plain is not None:
            return int(self._plain.data[0].nbytes)
        return int(lib.mla_block_bytes(self._handle))

    def read_blocks(self, ids: NDArray[Any]) -> NDArray[np.uint8]:
        """Copies of blocks, [len(ids), block_bytes]. Raises ValueError on an unknown id."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is not None:
            self._check_ids(ids)
            held: NDArray[np.uint8] = self._plain.data[ids].reshape(len(ids), -1)
            return held
        out = np.empty((len(ids), self.block_bytes), dtype=np.uint8)
        lib.mla_read_blocks(self._handle, ids, out)
        return out

    def write_blocks(self, ids: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """The reverse, in order: of an id that is given twice, the last bytes stay."""
        ids = np.asarray(ids, dtype=np.int64)
        if self._plain is None:
            lib.mla_write_blocks(self._handle, ids, data)
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
        latent_TL: Floats,
        rope_TR: Floats,
    ) -> None:
        """New tokens' latents (after kv_a_layernorm) and rotated keys, float32, each to its slot.

        Slots must be distinct. Raises ValueError on an unknown slot or layer, or where shapes or
        dtypes do not fit.
        """
        if self._plain is None:
            latent, rope = _rows(latent_TL), _rows(rope_TR)
            lib.mla_write(self._handle, layer, blocks_T, offsets_T, latent, rope)
            return
        self._check_layer(layer)
        _check("latent_TL", latent_TL, (len(blocks_T), self.latent))
        _check("rope_TR", rope_TR, (len(blocks_T), self.rope))
        if offsets_T.shape != blocks_T.shape:
            raise ValueError(f"offsets_T has shape {offsets_T.shape}, blocks_T {blocks_T.shape}")
        rows = np.concatenate([latent_TL, rope_TR], axis=1)
        self._plain.write(layer, blocks_T, offsets_T, rows)

    def read(self, layer: int, block: int) -> tuple[Floats, Floats]:
        """What one block's bytes stand for: float32 [block_size, L] and [block_size, R]."""
        if self._plain is None:
            latent = np.empty((self.block_size, self.latent), dtype=np.float32)
            rope = np.empty((self.block_size, self.rope), dtype=np.float32)
            lib.mla_read(self._handle, layer, block, latent, rope)
            return latent, rope
        self._check_layer(layer)
        self._check_ids(np.array([block]))
        rows = self._plain.rows(np.array([block]), layer)
        return rows[:, : self.latent], rows[:, self.latent :]

    def run(
        self,
        layer: int,
        q_THD: Floats,
        layout: Layout,
        window: int,
        scale: float,
        out_THL: Floats,
        lse_TH: Floats | None,
    ) -> None:
        num_heads = q_THD.shape[1]
        if self._plain is None:
            plan = self._plan(layout, num_heads, window)
            lib.mla_forward(self._handle, plan, layer, _rows(q_THD), out_THL, lse_TH, scale)
            return
        self._check_layer(layer)
        if not 1 <= num_heads <= HEADS_MAX:
            raise ValueError(f"num_heads is {num_heads}; it must be from 1 to {HEADS_MAX}")
        if window < 0:
            raise ValueError(f"window is {window}; it must be at least 0")
        if not 0 < scale < 1e30:
            raise ValueError(f"scale is {scale}; it must be a number above 0")
        layout.check(self.block_size)
        tokens = layout.num_tokens
        _check("q_THD", q_THD, (tokens, num_heads, self.latent + self.rope))
        _check("out_THL", out_THL, (tokens, num_heads, self.latent))
        if lse_TH is not None:
            _check("lse_TH", lse_TH, (tokens, num_heads))
        ref.forward(self._plain, layer, q_THD, layout, window, scale, out_THL, lse_TH)

    def _plan(self, layout: Layout, num_heads: int, window: int) -> object:
        key = ("mla", self.shape, num_heads, window)
        if key not in layout.plans:
            layout.plans[key] = lib.mla_plan(
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
    whole = x.ndim in (2, 3) and x.flags.aligned and x.strides[-1] == x.itemsize
    whole = whole and x.strides[0] % x.itemsize == 0
    whole = whole and (x.ndim == 2 or x.strides[1] == x.shape[2] * x.itemsize)
    return x if whole else x.copy()


def _check(name: str, x: NDArray[Any], shape: tuple[int, ...]) -> None:
    if x.shape != shape or x.dtype != np.float32:
        raise ValueError(f"{name} has shape {x.shape}, {x.dtype}; it must be float32 {shape}")


def forward(
    cache: LatentCache,
    layer: int,
    q_THD: Floats,
    layout: Layout,
    out_THL: Floats | None = None,
    lse_TH: Floats | None = None,
    window: int = 0,
    *,
    scale: float,
) -> Floats:
    """Attention of new tokens, whose rows are already written, [T, H, L] into `out_THL`.

    q_THD   float32, any strides and alignment: the query absorbed into latents (q_nope through the
            first half of kv_b_proj), then its rotated part
    lse_TH  float32, receives the log-sum-exp of the scaled scores, in natural logarithm
    window  a query at p sees keys p - window + 1 .. p; 0: all up to p
    scale   of the scores, above 0; the model's (qk_nope + rope)^-0.5, times what YaRN asks: it does
            not follow from the widths here

    Where the layout says that only some keys are here, the result is a part for `merge`; a query
    that sees none gets zeros and a log-sum-exp of -infinity. out_THL and lse_TH are overwritten;
    they must be C-contiguous. Raises ValueError where anything does not fit.
    """
    if q_THD.ndim != 3:
        raise ValueError(f"q_THD has shape {q_THD.shape}; it must have 3 dimensions")
    if out_THL is None:
        out_THL = np.empty((*q_THD.shape[:2], cache.latent), dtype=np.float32)
    cache.run(layer, q_THD, layout, window, float(scale), out_THL, lse_TH)
    return out_THL

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

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.attention import merge
from kernels.mla import ref
from kernels.native import lib
from kernels.numbers import Floats
from kernels.paged.cache import Kind, PagedCache, check_floats, rows
from kernels.paged.layout import Layout, Span

__all__ = ["Kind", "LatentCache", "Layout", "Span", "forward", "merge"]

HEADS_MAX = 1024


class LatentCache(PagedCache[ref.Cache]):
    """Latents and rotated keys of all layers, in blocks; zeros until they are written.

    kind          fp32 (exact mode), bf16, or int8 with a scale for each token's latent and rope
    block_size    tokens of a block: a multiple of 16 up to 256
    latent, rope  channels (kv_lora_rank, qk_rope_head_dim): multiples of 16 up to 4096

    A block's bytes, of all layers, mean the same in each cache of equal kind and shape, whatever
    the instruction set. Raises ValueError on other sizes or kinds, MemoryError on too many blocks.
    """

    __slots__ = ("latent", "rope")

    def __init__(
        self,
        kind: Kind,
        num_blocks: int,
        block_size: int,
        num_layers: int,
        latent: int,
        rope: int,
    ) -> None:
        super().__init__(kind, num_blocks, block_size, num_layers)
        self.latent, self.rope = latent, rope
        if lib is None:
            self._plain = ref.Cache(kind, *self.shape)
        else:
            self._handle = lib.mla_create(kind, *self.shape)

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(num_blocks, block_size, num_layers, latent, rope)"""
        return (self.num_blocks, self.block_size, self.num_layers, self.latent, self.rope)

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
            latent, rope = rows(latent_TL), rows(rope_TR)
            lib.mla_write(self._handle, layer, blocks_T, offsets_T, latent, rope)
            return
        self._check_layer(layer)
        check_floats("latent_TL", latent_TL, (len(blocks_T), self.latent))
        check_floats("rope_TR", rope_TR, (len(blocks_T), self.rope))
        self._plain.write(layer, blocks_T, offsets_T, np.concatenate([latent_TL, rope_TR], axis=1))

    def read(self, layer: int, block: int) -> tuple[Floats, Floats]:
        """What one block's bytes stand for: float32 [block_size, L] and [block_size, R]."""
        if self._plain is None:
            latent = np.empty((self.block_size, self.latent), dtype=np.float32)
            rope = np.empty((self.block_size, self.rope), dtype=np.float32)
            lib.mla_read(self._handle, layer, block, latent, rope)
            return latent, rope
        self._check_layer(layer)
        self._plain.check_ids(np.array([block]))
        rows_SD = self._plain.rows(np.array([block]), layer)
        return rows_SD[:, : self.latent], rows_SD[:, self.latent :]

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
            plan = self._plan(lib.mla_plan, layout, num_heads, window)
            lib.mla_forward(self._handle, plan, layer, rows(q_THD), out_THL, lse_TH, scale)
            return
        self._check_step(layer, layout, window, scale)
        if not 1 <= num_heads <= HEADS_MAX:
            raise ValueError(f"num_heads is {num_heads}; it must be from 1 to {HEADS_MAX}")
        tokens = layout.num_tokens
        check_floats("q_THD", q_THD, (tokens, num_heads, self.latent + self.rope))
        check_floats("out_THL", out_THL, (tokens, num_heads, self.latent))
        if lse_TH is not None:
            check_floats("lse_TH", lse_TH, (tokens, num_heads))
        ref.forward(self._plain, layer, q_THD, layout, window, scale, out_THL, lse_TH)


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

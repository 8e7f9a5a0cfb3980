"""How keys and values lie in blocks, and what attending to them gives: one form for a chip and for
a memory server that attends for it.
"""

from collections.abc import Sequence

import numpy as np

from configs.model_config import ModelConfig
from configs.precision import Precision
from kernels import attention, mla
from kernels.numbers import Floats, quiet
from kernels.paged.layout import Layout, Span
from workers.model.parts.latent import score_scale
from workers.model.parts.partial import Part

KvCache = attention.KvCache | mla.LatentCache


class KvForm:
    """Of one model, in one precision. Queries carry the factor of their scores only in grouped-
    query attention, where their norm has it.
    """

    query_dtype = np.dtype(np.float32)

    def __init__(self, config: ModelConfig, precision: Precision, block_size: int) -> None:
        self._config, self._precision, self.block_size = config, precision, block_size

    def cache(self, num_blocks: int, num_layers: int | None = None) -> KvCache:
        """Blocks of all layers, or of so many. The bytes of a layer mean the same in both.

        Raises MemoryError where they are too many.
        """
        config, kind = self._config, self._precision.kv
        layers = config.num_layers if num_layers is None else num_layers
        sizes = (num_blocks, self.block_size, layers)
        if config.mla is not None:
            return mla.LatentCache(kind, *sizes, config.mla.kv_rank, config.mla.rope_dim)
        return attention.KvCache(kind, *sizes, config.num_kv_heads, config.head_dim)

    @quiet
    def attend(self, cache: KvCache, layer: int, q_TND: Floats, layout: Layout) -> Part:
        """A part over the keys that the layout says are here. Raises ValueError where queries do
        not fit.
        """
        lse_TN = np.empty(q_TND.shape[:2], dtype=np.float32)
        if isinstance(cache, mla.LatentCache):
            assert self._config.mla is not None
            scale = score_scale(self._config, self._config.mla)
            out = mla.forward(cache, layer, q_TND, layout, lse_TH=lse_TN, scale=scale)
        else:
            out = attention.forward(cache, layer, q_TND, layout, lse_TN=lse_TN, scale=1.0)
        return Part(out, lse_TN)

    def attend_all(
        self,
        cache: KvCache,
        layer: int,
        q_TND: Floats,
        places: Sequence[Sequence[int]],
        counts: Sequence[int],
    ) -> Part:
        """A part over all keys of some whole blocks, which every query sees: counts[s] queries of
        sequence s over the blocks at places[s].
        """
        keys = [len(held) * self.block_size for held in places]
        spans = [
            Span(num_keys, count, held, 0, num_keys)
            for num_keys, count, held in zip(keys, counts, places, strict=True)
        ]
        return self.attend(cache, layer, q_TND, Layout(spans))

    @property
    def query_shape(self) -> tuple[int, int]:
        """Heads, and numbers of a head's query as it meets the cache."""
        config = self._config
        return config.num_heads, config.head_dim if config.mla is None else config.mla.cache_width

    @property
    def layer_bytes(self) -> int:
        """What one layer of one block asks of memory and links."""
        return self.block_size * self._precision.kv_layer_bytes(self._config)

    @property
    def block_bytes(self) -> int:
        """The same of all layers."""
        return self._config.num_layers * self.layer_bytes

    def flops(self, pairs: int) -> dict[str, int]:
        """Where so many queries meet so many keys, by dtype."""
        arithmetic = self._precision.pair_arithmetic(self._config)
        return {arithmetic: 2 * pairs * self._config.attention.pair_products}

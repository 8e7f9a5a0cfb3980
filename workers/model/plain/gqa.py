"""Grouped-query attention of one layer: keys and values of every KV head in the cache.

Letters: T tokens of the step, H hidden, N heads, D head width, R rows of a group.
"""

import numpy as np

from configs.model_config import ModelConfig
from workers.model.parts.dense import Read
from workers.model.parts.rope import Rope
from workers.model.parts.rows import Floats, linear, rms_norm, softmax_in_place, transposed
from workers.model.plain.masking import hide, mix
from workers.model.plain.paged_cache import PagedCache
from workers.model.plain.plan import QUERY_TILE, Group, StepPlan


def make_cache(config: ModelConfig, num_blocks: int, block_size: int) -> PagedCache:
    """[block, layer, 2 (k, v), block_size, kv_head, head_dim]."""
    planes, row = (config.num_layers, 2), (config.num_kv_heads, config.head_dim)
    return PagedCache(num_blocks, planes, block_size, row)


class GqaAttention:
    """Its own projections, and its planes of the chip's cache."""

    def __init__(
        self, config: ModelConfig, layer: int, read: Read, cache: PagedCache, rope: Rope
    ) -> None:
        self._config, self._layer, self._cache, self._rope = config, layer, cache, rope
        projections = [read(f"self_attn.{name}_proj.weight") for name in ("q", "k", "v")]
        self._qkv = transposed(np.concatenate(projections))
        self._out = transposed(read("self_attn.o_proj.weight"))
        # A row for each query head, then for each KV head; those of the query heads carry the
        # factor 1 / sqrt(head_dim) of the scores.
        scale = np.float32(config.head_dim**-0.5)
        queries = np.tile(read("self_attn.q_norm.weight") * scale, (config.num_heads, 1))
        keys = np.tile(read("self_attn.k_norm.weight"), (config.num_kv_heads, 1))
        self._qk_norm = np.concatenate([queries, keys])

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return self._qkv, self._out

    def forward(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """Writes the new tokens' KV, then mixes values: [T, H], without the residual."""
        config, tokens = self._config, x_TH.shape[0]
        qkv_TND = linear(x_TH, self._qkv).reshape(tokens, -1, config.head_dim)
        turned = config.num_heads + config.num_kv_heads
        qk_TND = rms_norm(qkv_TND[:, :turned], self._qk_norm, config.rms_eps)
        qk_TND = self._rope.rotate(qk_TND, plan.positions_T)
        planes_T = plan.blocks_T * self._cache.planes_a_block + 2 * self._layer
        self._cache.write(planes_T, plan.offsets_T, qk_TND[:, config.num_heads :])
        self._cache.write(planes_T + 1, plan.offsets_T, qkv_TND[:, turned:])
        q_TND = qk_TND[:, : config.num_heads]
        mixed_TN = np.empty((tokens, config.query_width), dtype=np.float32)
        for group in plan.groups:
            mixed_TN[group.rows_R] = self._attend(group, q_TND)
        return linear(mixed_TN, self._out)

    def _attend(self, group: Group, q_TND: Floats) -> Floats:
        """Attention of some query tiles: [R, query width], rows as in group.rows_R."""
        config = self._config
        heads, width = config.num_kv_heads, config.head_dim
        tile = np.zeros((group.tiles * QUERY_TILE, config.num_heads, width), dtype=np.float32)
        tile[group.places_R] = q_TND[group.rows_R]
        shape = (group.tiles, QUERY_TILE, heads, -1, width)
        q = tile.reshape(shape).swapaxes(1, 2).reshape(group.tiles, heads, -1, width)
        planes = group.blocks * self._cache.planes_a_block + 2 * self._layer
        k, v = self._cache.windows(planes), self._cache.windows(planes + 1)
        scores = np.matmul(q, k.transpose(0, 2, 3, 1))
        in_tiles = scores.reshape(group.tiles, heads, QUERY_TILE, -1, scores.shape[-1])
        hide(in_tiles, group.unseen[:, None, :, None])
        weights = softmax_in_place(scores)

        def product(values: Floats) -> Floats:
            mixed = np.matmul(weights, values.transpose(0, 2, 1, 3))
            by_query: Floats = mixed.reshape(group.tiles, heads, QUERY_TILE, -1, width)
            return by_query

        back = mix(v, group.unseen, product, axis=2).swapaxes(1, 2)
        rows: Floats = back.reshape(group.tiles * QUERY_TILE, -1)[group.places_R]
        return rows

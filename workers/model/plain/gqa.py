"""Grouped-query attention of one layer: keys and values of every KV head in the cache.

Each KV head's part is computed by itself, in shapes that are the same whoever holds the head, and
what it adds to the residual stream is rounded to the grid on which sums are exact. So a layer has
the same bits with all heads in one place and over any number of tensor-parallel ranks.

Letters: T tokens of the step, H hidden, K KV heads, G query heads of each, N all query heads,
D head width, R rows of a group.
"""

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.model.parts.dense import Read
from workers.model.parts.partial import Part
from workers.model.parts.rope import Rope
from workers.model.parts.rows import (
    Floats,
    linear,
    on_grid,
    padded,
    rms_norm,
    softmax_in_place,
    softmax_of_some,
    transposed,
)
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
        heads = config.num_kv_heads
        projections = [
            read(f"self_attn.{name}_proj.weight").reshape(heads, -1, config.hidden)
            for name in ("q", "k", "v")
        ]
        self._qkv_KHN = np.stack([transposed(rows) for rows in np.concatenate(projections, axis=1)])
        out = read("self_attn.o_proj.weight").reshape(config.hidden, heads, -1)
        self._out_KNH = np.stack([transposed(out[:, head]) for head in range(heads)])
        # A row for each query head of a KV head, then for its key; those of the query heads carry
        # the factor 1 / sqrt(head_dim) of the scores.
        scale = np.float32(config.head_dim**-0.5)
        queries = np.tile(read("self_attn.q_norm.weight") * scale, (config.num_heads // heads, 1))
        self._qk_norm = np.concatenate([queries, read("self_attn.k_norm.weight")[np.newaxis]])

    @property
    def matrices(self) -> tuple[Floats, ...]:
        return self._qkv_KHN[0], self._out_KNH[0]

    def forward(self, x_TH: Floats, plan: StepPlan) -> NDArray[np.float64]:
        """Writes the new tokens' KV, then mixes values: the heads' sums [T, H], multiples of
        1 / GRID, without the residual.
        """
        return self.share(self._over(self.queries(x_TH, plan), plan))

    def queries(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """[T, N, D]; the new tokens' KV goes into its blocks."""
        config, tokens = self._config, x_TH.shape[0]
        qkv_TKGD = self._project(x_TH)
        qk_TKGD = rms_norm(qkv_TKGD[:, :, :-1], self._qk_norm, config.rms_eps)
        qk_TND = qk_TKGD.reshape(tokens, -1, config.head_dim)
        qk_TKGD = self._rope.rotate(qk_TND, plan.positions_T).reshape(qk_TKGD.shape)
        planes_T = plan.blocks_T * self._cache.planes_a_block + 2 * self._layer
        self._cache.write(planes_T, plan.offsets_T, qk_TKGD[plan.rows_T, :, -1])
        self._cache.write(planes_T + 1, plan.offsets_T, qkv_TKGD[plan.rows_T, :, -1])
        return qk_TKGD[:, :, :-1].reshape(tokens, config.num_heads, config.head_dim)

    def over_slice(self, q_TND: Floats, plan: StepPlan) -> Part:
        """What queries of any heads of the one KV head find over the keys that are here."""
        lse_TN = np.empty(q_TND.shape[:2], dtype=np.float32)
        return Part(self._over(q_TND, plan, lse_TN), lse_TN)

    def _over(self, q_TND: Floats, plan: StepPlan, lse_TN: Floats | None = None) -> Floats:
        """[T, N, D]; without a place for log-sum-exps, each query sees a key."""
        mixed_TND = np.empty(q_TND.shape, dtype=np.float32)
        for group in plan.groups:
            rows = self._attend(group, q_TND, lse_TN)
            mixed_TND[group.rows_R] = rows.reshape(-1, *q_TND.shape[1:])
        return mixed_TND

    def share(self, mixed_TND: Floats) -> NDArray[np.float64]:
        """What values mixed for the heads here add, [T, H], multiples of 1 / GRID."""
        tokens, config = len(mixed_TND), self._config
        mixed_TKN = mixed_TND.reshape(tokens, config.num_kv_heads, self._out_KNH.shape[1])
        sums_TH = np.zeros((tokens, config.hidden), dtype=np.float64)
        for head, out_NH in enumerate(self._out_KNH):
            sums_TH += on_grid(linear(mixed_TKN[:, head], out_NH).astype(np.float64))
        return sums_TH

    def _project(self, x_TH: Floats) -> Floats:
        """Queries, key and value of each KV head: [T, K, G + 2, D], tile by tile as `linear`."""
        product = np.matmul(padded(x_TH)[:, np.newaxis], self._qkv_KHN)
        heads, width = self._config.num_kv_heads, self._config.head_dim
        rows: Floats = product.swapaxes(1, 2).reshape(-1, heads, product.shape[-1] // width, width)
        return rows[: x_TH.shape[0]]

    def _attend(self, group: Group, q_TND: Floats, lse_TN: Floats | None = None) -> Floats:
        """Attention of some query tiles: [R, query width], rows as in group.rows_R."""
        config = self._config
        heads, width = config.num_kv_heads, config.head_dim
        tile = np.zeros((group.tiles * QUERY_TILE, *q_TND.shape[1:]), dtype=np.float32)
        tile[group.places_R] = q_TND[group.rows_R]
        shape = (group.tiles, QUERY_TILE, heads, -1, width)
        q = tile.reshape(shape).swapaxes(1, 2).reshape(group.tiles, heads, -1, width)
        planes = group.blocks * self._cache.planes_a_block + 2 * self._layer
        k, v = self._cache.windows(planes), self._cache.windows(planes + 1)
        scores = np.matmul(q, k.transpose(0, 2, 3, 1))
        in_tiles = scores.reshape(group.tiles, heads, QUERY_TILE, -1, scores.shape[-1])
        hide(in_tiles, group.unseen[:, None, :, None])
        if lse_TN is None:
            weights = softmax_in_place(scores)
        else:
            weights, lse = softmax_of_some(scores)
            by_query = lse.reshape(group.tiles, heads, QUERY_TILE, -1).swapaxes(1, 2)
            rows_RN = by_query.reshape(-1, q_TND.shape[1])
            lse_TN[group.rows_R] = rows_RN[group.places_R]

        def product(values: Floats) -> Floats:
            mixed = np.matmul(weights, values.transpose(0, 2, 1, 3))
            by_query: Floats = mixed.reshape(group.tiles, heads, QUERY_TILE, -1, width)
            return by_query

        back = mix(v, group.unseen, product, axis=2).swapaxes(1, 2)
        rows: Floats = back.reshape(group.tiles * QUERY_TILE, -1)[group.places_R]
        return rows

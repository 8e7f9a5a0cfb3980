"""Multi-head latent attention of one layer, absorbed: the cache holds a latent and a rotated key.

    x ── down ──┬─ queries ─(norm, up)─▶ q ──┬─ without position ─ up_keys ─▶ ┐
                │                            └─ rotated ────────────────────▶ ┴▶ query [N, L + P]
                └─ latent, key ─ norm, rotate ─▶ one row [L + P] of the cache, for all heads

    scores = query · row;  mixed latents [N, L] ── up_values ─▶ values [N, V] ── out ─▶ [H]

The same for one new token and for many: chunking may not change a bit. Letters: T tokens of the
step, H hidden, N heads, D query width of a head, L latent, P rotated part, R rows of a group.
"""

import numpy as np

from configs.attention import Mla
from configs.model_config import ModelConfig
from workers.model.parts.dense import Read
from workers.model.parts.latent import LATENT_EPS, halves, queries_in_halves, score_scale
from workers.model.parts.partial import Part
from workers.model.parts.rope import Rope
from workers.model.parts.rows import (
    Floats,
    linear,
    linear_heads,
    rms_norm,
    softmax_in_place,
    softmax_of_some,
    transposed,
)
from workers.model.plain.masking import hide, mix
from workers.model.plain.paged_cache import PagedCache
from workers.model.plain.plan import QUERY_TILE, Group, StepPlan


def make_cache(config: ModelConfig, mla: Mla, num_blocks: int, block_size: int) -> PagedCache:
    """[block, layer, block_size, latent and rotated key]."""
    return PagedCache(num_blocks, (config.num_layers,), block_size, (mla.cache_width,))


class MlaAttention:
    """Its own projections, and its plane of the chip's cache."""

    def __init__(
        self, config: ModelConfig, mla: Mla, layer: int, read: Read, cache: PagedCache, rope: Rope
    ) -> None:
        self._mla, self._layer, self._cache, self._rope = mla, layer, cache, rope
        down = read("self_attn.kv_a_proj_with_mqa.weight")
        down[mla.kv_rank :] = down[mla.kv_rank :][halves(mla)]
        self._q_norm: Floats | None = None
        self._q_up: Floats | None = None
        if mla.q_rank is None:
            first = _queries(config, mla, read("self_attn.q_proj.weight"))
        else:
            first = read("self_attn.q_a_proj.weight")
            self._q_norm = read("self_attn.q_a_layernorm.weight")
            self._q_up = transposed(_queries(config, mla, read("self_attn.q_b_proj.weight")))
        self._down = transposed(np.concatenate([first, down]))
        self._kv_norm = read("self_attn.kv_a_layernorm.weight")
        heads = read("self_attn.kv_b_proj.weight").reshape(mla.num_heads, -1, mla.kv_rank)
        self._up_keys = np.ascontiguousarray(heads[:, : mla.nope_dim])
        self._up_values = np.ascontiguousarray(heads[:, mla.nope_dim :].swapaxes(1, 2))
        self._out = transposed(read("self_attn.o_proj.weight"))

    @property
    def matrices(self) -> tuple[Floats, ...]:
        found = self._down, self._up_keys, self._up_values, self._out
        return found if self._q_up is None else (*found, self._q_up)

    def forward(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """Writes the new tokens' latents, then mixes values: [T, H], without the residual."""
        return self.share(self._over(self.queries(x_TH, plan), plan))

    def queries(self, x_TH: Floats, plan: StepPlan) -> Floats:
        """As they meet the cache's rows, [T, N, L + P]; the new tokens' latents go into their
        blocks.
        """
        width = self._mla.cache_width
        down = linear(x_TH, self._down)
        self._write(down[:, -width:], plan)
        return self._query(down[:, :-width], plan)

    def over_slice(self, query: Floats, plan: StepPlan) -> Part:
        """What queries of any heads find over the latents that are here."""
        lse_TN = np.empty(query.shape[:2], dtype=np.float32)
        return Part(self._over(query, plan, lse_TN), lse_TN)

    def _over(self, query: Floats, plan: StepPlan, lse_TN: Floats | None = None) -> Floats:
        """Mixed latents [T, N, L]; without a place for log-sum-exps, each query sees a key."""
        mixed = np.empty((*query.shape[:2], self._mla.kv_rank), dtype=np.float32)
        for group in plan.groups:
            mixed[group.rows_R] = self._attend(group, query, lse_TN)
        return mixed

    def share(self, mixed: Floats) -> Floats:
        """What latents mixed for the heads here add, [T, H]."""
        values = linear_heads(mixed, self._up_values)
        return linear(values.reshape(len(mixed), -1), self._out)

    def _write(self, down: Floats, plan: StepPlan) -> None:
        """Latent, normed, and rotated key of each new token, [T, L + P], into the cache."""
        rank = self._mla.kv_rank
        rows = np.empty(down.shape, dtype=np.float32)
        rows[:, :rank] = rms_norm(down[:, :rank], self._kv_norm, LATENT_EPS)
        rows[:, rank:] = self._rope.rotate(down[:, None, rank:], plan.positions_T)[:, 0]
        planes_T = plan.blocks_T * self._cache.planes_a_block + self._layer
        self._cache.write(planes_T, plan.offsets_T, rows[plan.rows_T])

    def _query(self, x: Floats, plan: StepPlan) -> Floats:
        """Queries as they meet the cache's rows, [T, N, L + P], from their own first projection."""
        mla, tokens = self._mla, x.shape[0]
        if self._q_norm is not None and self._q_up is not None:
            x = linear(rms_norm(x, self._q_norm, LATENT_EPS), self._q_up)
        q_TND = x.reshape(tokens, mla.num_heads, mla.head_dim)
        query = np.empty((tokens, mla.num_heads, mla.cache_width), dtype=np.float32)
        query[..., : mla.kv_rank] = linear_heads(q_TND[..., : mla.nope_dim], self._up_keys)
        rotated = self._rope.rotate(q_TND[..., mla.nope_dim :], plan.positions_T)
        query[..., mla.kv_rank :] = rotated
        return query

    def _attend(self, group: Group, query: Floats, lse_TN: Floats | None = None) -> Floats:
        """Mixed latents of some query tiles: [R, N, L], rows as in group.rows_R."""
        heads, rank = query.shape[1], self._mla.kv_rank
        tile = np.zeros((group.tiles * QUERY_TILE, *query.shape[1:]), dtype=np.float32)
        tile[group.places_R] = query[group.rows_R]
        rows = self._cache.windows(group.blocks * self._cache.planes_a_block + self._layer)
        # All heads look at the same rows: they are further rows of one product.
        q = tile.reshape(group.tiles, QUERY_TILE * heads, -1)
        scores = np.matmul(q, rows.swapaxes(1, 2))
        in_tiles = scores.reshape(group.tiles, QUERY_TILE, heads, -1)
        hide(in_tiles, group.unseen[:, :, None])
        if lse_TN is None:
            weights = softmax_in_place(scores)
        else:
            weights, lse = softmax_of_some(scores)
            lse_TN[group.rows_R] = lse.reshape(-1, heads)[group.places_R]

        def product(window: Floats) -> Floats:
            mixed = np.matmul(weights, window[..., :rank])
            by_query: Floats = mixed.reshape(group.tiles, QUERY_TILE, heads, rank)
            return by_query

        mixed = mix(rows, group.unseen, product, axis=1)
        found: Floats = mixed.reshape(-1, heads, rank)[group.places_R]
        return found


def _queries(config: ModelConfig, mla: Mla, weight: Floats) -> Floats:
    """The queries' projection, in halves, with the factor of the scores."""
    scaled: Floats = queries_in_halves(mla, weight) * np.float32(score_scale(config, mla))
    return scaled

"""Grouped-query attention of one layer on the kernels, in steps that can stand apart: queries,
attention over keys wherever they are, values.

`workers/model/native/chip_model.py` does a whole layer in one native call, and is faster where all
keys are here. Letters: T tokens of the step, H hidden, N heads, D head width.
"""

import numpy as np

from configs.model_config import ModelConfig
from configs.precision import Precision
from kernels import attention, linear
from kernels.numbers import Floats
from workers.model.native.latent_attention import LatentStep
from workers.model.parts.dense import Read
from workers.model.parts.rope import Rope
from workers.model.parts.rows import rms_norm


class GroupedAttention:
    """One layer's projections, and its part of the chip's cache."""

    def __init__(
        self,
        config: ModelConfig,
        layer: int,
        read: Read,
        precision: Precision,
        cache: attention.KvCache,
        rope: Rope,
    ) -> None:
        self._config, self._layer, self._cache, self._rope = config, layer, cache, rope
        projections = [read(f"self_attn.{name}_proj.weight") for name in ("q", "k", "v")]
        self._qkv = linear.pack(np.concatenate(projections), precision.weights)
        self._out = linear.pack(read("self_attn.o_proj.weight"), precision.weights)
        # Those of the query heads carry the factor 1 / sqrt(head_dim) of the scores.
        scale = np.float32(config.head_dim**-0.5)
        queries = np.tile(read("self_attn.q_norm.weight") * scale, (config.num_heads, 1))
        keys = np.tile(read("self_attn.k_norm.weight"), (config.num_kv_heads, 1))
        self._norms = np.concatenate([queries, keys])

    def forward(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' KV, then mixes values: [T, H], without the residual."""
        q_TND = self.queries(x_TH, step)
        mixed_TND = np.empty(q_TND.shape, dtype=np.float32)
        for piece in step.pieces:
            rows = slice(piece.begin, piece.end)
            attention.forward(
                self._cache, self._layer, q_TND[rows], piece.layout, mixed_TND[rows], scale=1.0
            )
        return self.values(mixed_TND)

    def queries(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' KV; normed and rotated queries, [T, N, D]."""
        config, heads = self._config, self._config.num_heads
        turned = heads + config.num_kv_heads
        qkv_TND = linear.forward(self._qkv, x_TH).reshape(len(x_TH), -1, config.head_dim)
        qk_TND = rms_norm(qkv_TND[:, :turned], self._norms, config.rms_eps)
        qk_TND = self._rope.rotate(qk_TND, step.positions_T)
        keys, values = qk_TND[:, heads:], qkv_TND[:, turned:]
        self._cache.write(self._layer, step.blocks_T, step.offsets_T, keys, values)
        return qk_TND[:, :heads]

    def values(self, mixed_TND: Floats) -> Floats:
        """What follows when values are mixed: [T, H], without the residual."""
        return linear.forward(self._out, mixed_TND.reshape(len(mixed_TND), -1))

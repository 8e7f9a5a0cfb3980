"""A chip's part of a Qwen3-MoE model in exact mode: embedding, attention, gate and logits.

The KV cache is paged: a block holds `block_size` tokens of all layers, in the layout in which
blocks travel. Bits do not depend on batch, chunking or blocks (see rows.py and plan.py).

Letters: T tokens of the step, H hidden, D head width, G query tiles, S keys of a window.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.model_config import ModelConfig
from workers.hardware.work import Work
from workers.model.base import MoeInput, StepLayout
from workers.model.checkpoint import Checkpoint, chip_shapes
from workers.model.torch.plan import QUERY_TILE, Group, StepPlan, plan_step
from workers.model.torch.rows import (
    Floats,
    check_tiles,
    linear,
    one_thread,
    rms_norm,
    softmax_in_place,
    transposed,
)
from workers.model.work import WorkModel


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer, projections as [in, out].

    `qk_norm` has a row for each query head, then for each KV head; the rows of the query heads
    carry the factor 1 / sqrt(head_dim) of the scores.
    """

    input_norm: Floats
    qkv: Floats
    qk_norm: Floats
    out: Floats
    post_norm: Floats
    gate: Floats


class TorchChipModel:
    """ChipModel for one Hugging Face folder, fp32. Hidden states are [T, H] float32 arrays.

    num_blocks   KV blocks of this chip        block_size   tokens in a block
    work         how work is counted; fp32 in "hbm" where left out

    Raises CheckpointError where the folder does not fit.
    """

    def __init__(
        self,
        folder: str | Path,
        num_blocks: int,
        block_size: int = 16,
        work: WorkModel | None = None,
    ) -> None:
        if num_blocks < 1 or block_size < 1:
            raise ValueError(
                f"num_blocks is {num_blocks}, block_size {block_size}; both must be at least 1"
            )
        one_thread()
        self.config = config = ModelConfig.load(folder)
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._work = work or WorkModel(config)
        with Checkpoint(folder) as checkpoint:
            shapes = dict(chip_shapes(config))
            self._embedding = checkpoint.read(
                "model.embed_tokens.weight", shapes["model.embed_tokens.weight"]
            )
            self._norm = checkpoint.read("model.norm.weight", shapes["model.norm.weight"])
            head = (
                self._embedding
                if config.tie_embeddings
                else checkpoint.read("lm_head.weight", shapes["lm_head.weight"])
            )
            self._head = transposed(head)
            self._layers = tuple(
                _read_layer(checkpoint, shapes, config, layer) for layer in range(config.num_layers)
            )
        first = self._layers[0]
        check_tiles((first.qkv, first.out, first.gate, self._head))
        self._cache: Floats = np.zeros(
            (num_blocks, config.num_layers, 2, block_size, config.num_kv_heads, config.head_dim),
            dtype=np.float32,
        )
        # The same memory as rows: of a token's keys or values, and of a block's.
        self._token_rows = self._cache.reshape(-1, config.kv_width)
        self._block_rows = self._cache.reshape(-1, block_size * config.kv_width)
        self._cos, self._sin = _rope_tables(
            config, min(config.max_context, num_blocks * block_size)
        )
        self._planned: tuple[StepLayout, StepPlan] | None = None

    @property
    def block_bytes(self) -> int:
        """Bytes of one KV block over all layers."""
        return int(self._cache[0].nbytes)

    @property
    def kv_tier(self) -> str:
        return self._work.kv_tier

    def embed(self, token_ids_T: NDArray[np.int64]) -> Floats:
        """[T, H]. Raises ValueError on ids outside the vocabulary."""
        if token_ids_T.size and not 0 <= token_ids_T.min() <= token_ids_T.max() < self.config.vocab:
            raise ValueError(
                f"token ids span {token_ids_T.min()} .. {token_ids_T.max()}; "
                f"they must be from 0 to {self.config.vocab - 1}"
            )
        return self._embedding[token_ids_T]

    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput]:
        """Writes the new tokens' KV, then attention with residual, norm and gate."""
        config, weights = self.config, self._layers[layer]
        plan = self._plan(layout)
        tokens = x.shape[0]
        qkv_TND = linear(rms_norm(x, weights.input_norm, config.rms_eps), weights.qkv).reshape(
            tokens, -1, config.head_dim
        )
        turned = config.num_heads + config.num_kv_heads
        qk_TND = rms_norm(qkv_TND[:, :turned], weights.qk_norm, config.rms_eps)
        qk_TND = self._rotate(qk_TND, plan)
        self._write_kv(layer, plan, qk_TND[:, config.num_heads :], qkv_TND[:, turned:])
        q_TND = qk_TND[:, : config.num_heads]
        mixed_TN = np.empty((tokens, config.query_width), dtype=np.float32)
        for group in plan.groups:
            mixed_TN[group.rows_R] = self._attend_group(layer, group, q_TND)
        x = x + linear(mixed_TN, weights.out)
        hidden_TH = rms_norm(x, weights.post_norm, config.rms_eps)
        experts_TK, weights_TK = self._route(hidden_TH, weights.gate)
        return x, MoeInput(hidden_TH, experts_TK, weights_TK)

    def merge(self, x: Floats, sums_TH: NDArray[np.float64]) -> Floats:
        """Residual plus the experts' sum: one rounding, from float64."""
        merged: Floats = (x + sums_TH).astype(np.float32)
        return merged

    def logits(self, x: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """[R, V] float32."""
        return linear(rms_norm(x[rows_R], self._norm, self.config.rms_eps), self._head)

    def read_blocks(self, block_ids: tuple[int, ...]) -> NDArray[Any]:
        """Copies: [block, layer, 2 (k, v), block_size, kv_head, head_dim] float32."""
        return self._cache[self._ids(block_ids)]

    def write_blocks(self, block_ids: tuple[int, ...], blocks: NDArray[Any]) -> None:
        """The reverse of `read_blocks`. Raises ValueError where the shape does not fit."""
        expected = (len(block_ids), *self._cache.shape[1:])
        if blocks.shape != expected:
            raise ValueError(f"KV blocks have shape {blocks.shape}; it must be {expected}")
        self._cache[self._ids(block_ids)] = blocks

    def attend_work(self, layer: int, layout: StepLayout) -> Work:
        """All layers ask for the same."""
        return self._work.attend(layout)

    def logits_work(self, num_rows: int) -> Work:
        return self._work.logits(num_rows)

    def _ids(self, block_ids: tuple[int, ...]) -> NDArray[np.int64]:
        ids = np.asarray(block_ids, dtype=np.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_blocks:
            raise ValueError(
                f"KV block ids span {ids.min()} .. {ids.max()}; "
                f"they must be from 0 to {self.num_blocks - 1}"
            )
        return ids

    def _plan(self, layout: StepLayout) -> StepPlan:
        """Layouts are immutable, so the object that the layer before used has the same plan."""
        if self._planned is None or self._planned[0] is not layout:
            for sequence in layout.sequences:
                self._ids(sequence.block_ids)
            plan = plan_step(layout, self.block_size, self.config.kv_width)
            if plan.positions_T.size and plan.positions_T.max() >= self._cos.shape[0]:
                raise ValueError(
                    f"position {plan.positions_T.max()} is past the context of "
                    f"{self._cos.shape[0]} tokens"
                )
            self._planned = (layout, plan)
        return self._planned[1]

    def _rotate(self, x_TND: Floats, plan: StepPlan) -> Floats:
        """Rotary positions: each head's first half turns with its second."""
        cos, sin = self._cos[plan.positions_T], self._sin[plan.positions_T]
        half = self.config.head_dim // 2
        first, second = x_TND[..., :half], x_TND[..., half:]
        out = np.empty_like(x_TND)
        np.multiply(first, cos, out=out[..., :half])
        out[..., :half] -= second * sin
        np.multiply(second, cos, out=out[..., half:])
        out[..., half:] += first * sin
        return out

    def _write_kv(self, layer: int, plan: StepPlan, k_TND: Floats, v_TND: Floats) -> None:
        size, tokens = self.block_size, k_TND.shape[0]
        planes = plan.blocks_T * self.config.num_layers + layer
        rows = planes * (2 * size) + plan.offsets_T
        self._token_rows[rows] = k_TND.reshape(tokens, -1)
        self._token_rows[rows + size] = v_TND.reshape(tokens, -1)

    def _attend_group(self, layer: int, group: Group, q_TND: Floats) -> Floats:
        """Attention of some query tiles: [R, query width], rows as in group.rows_R."""
        config = self.config
        heads, width = config.num_kv_heads, config.head_dim
        tile = np.zeros((group.tiles * QUERY_TILE, config.num_heads, width), dtype=np.float32)
        tile[group.places_R] = q_TND[group.rows_R]
        shape = (group.tiles, QUERY_TILE, heads, -1, width)
        q = tile.reshape(shape).swapaxes(1, 2).reshape(group.tiles, heads, -1, width)
        planes = (group.blocks * config.num_layers + layer) * 2
        windows = (group.blocks.shape[0], -1, heads, width)
        k = self._block_rows.take(planes, axis=0).reshape(windows)
        v = self._block_rows.take(planes + 1, axis=0).reshape(windows)
        scores = np.matmul(q, k.transpose(0, 2, 3, 1))
        in_tiles = scores.reshape(group.tiles, heads, QUERY_TILE, -1, scores.shape[-1])
        in_tiles += group.mask
        mixed = np.matmul(softmax_in_place(scores), v.transpose(0, 2, 1, 3))
        back = mixed.reshape(group.tiles, heads, QUERY_TILE, -1, width).swapaxes(1, 2)
        rows: Floats = back.reshape(group.tiles * QUERY_TILE, -1)[group.places_R]
        return rows

    def _route(self, hidden_TH: Floats, gate: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Each token's top_k most likely experts, lowest id first on ties, and their weights."""
        config = self.config
        probabilities = softmax_in_place(linear(hidden_TH, gate))
        order = np.argsort(-probabilities, axis=-1, kind="stable")[:, : config.top_k]
        chosen = np.take_along_axis(probabilities, order, axis=-1)
        if config.norm_topk_prob:
            chosen /= np.add.reduce(chosen, axis=-1, keepdims=True)
        return order.astype(np.int32), chosen


def _read_layer(
    checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]], config: ModelConfig, layer: int
) -> LayerWeights:
    def read(name: str) -> Floats:
        full = f"model.layers.{layer}.{name}.weight"
        return checkpoint.read(full, shapes[full])

    projections = [read(f"self_attn.{name}_proj") for name in ("q", "k", "v")]
    scale = np.float32(config.head_dim**-0.5)
    norms = [np.tile(read("self_attn.q_norm") * scale, (config.num_heads, 1))]
    norms.append(np.tile(read("self_attn.k_norm"), (config.num_kv_heads, 1)))
    return LayerWeights(
        input_norm=read("input_layernorm"),
        qkv=transposed(np.concatenate(projections)),
        qk_norm=np.concatenate(norms),
        out=transposed(read("self_attn.o_proj")),
        post_norm=read("post_attention_layernorm"),
        gate=transposed(read("mlp.gate")),
    )


def _rope_tables(config: ModelConfig, positions: int) -> tuple[Floats, Floats]:
    """Cosines and sines, [positions, 1, head_dim / 2]; angles are fp32 as in training."""
    powers = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    # float64 and then rounded: fp32 powers differ by machine, and a position multiplies the error.
    frequencies = np.float32(1.0) / (config.rope_theta ** powers.astype(np.float64)).astype(
        np.float32
    )
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    wide = angles.astype(np.float64)[:, None, :]
    return np.cos(wide).astype(np.float32), np.sin(wide).astype(np.float32)

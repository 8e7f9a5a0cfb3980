"""A chip's part of a model with latent attention (DeepSeek) on the kernels.

Each product is a kernel's call; norms, rotation and the choice of experts are numpy's, as in exact
mode. A row's bits do not depend on batch, chunking or blocks.

Letters: T tokens of the step, H hidden, R rows wanted, V vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.attention import Mla
from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import Precision, WeightKind
from kernels import linear, mla, moe
from kernels.numbers import Floats, quiet
from workers.model.base import MoeInput, StepLayout
from workers.model.checkpoint import Checkpoint
from workers.model.embedding import Embedding
from workers.model.native.kernel_chip import KernelChip
from workers.model.native.latent_attention import LatentAttention, LatentStep, plan_step
from workers.model.parts.dense import Read
from workers.model.parts.gating import Gating
from workers.model.parts.rope import Rope
from workers.model.parts.rows import rms_norm
from workers.model.tensors import chip_shapes, layer_shapes
from workers.model.work import WorkModel


class LatentChipModel(KernelChip[mla.LatentCache, LatentStep]):
    """ChipModel for one Hugging Face folder. Hidden states are [T, H] float32 arrays.

    num_blocks   KV blocks of this chip        block_size   tokens in a block, a multiple of 16
    work         how work is counted; in "hbm" where left out

    Raises CheckpointError where the folder does not fit, ValueError on sizes that no kernel takes.
    """

    def __init__(
        self,
        folder: str | Path,
        num_blocks: int,
        block_size: int,
        work: WorkModel | None,
        precision: Precision,
    ) -> None:
        config = load_model(folder)
        if config.mla is None:
            raise ValueError(f"{config.architecture} has no latent attention")
        sizes = (block_size, config.num_layers, config.mla.kv_rank, config.mla.rope_dim)
        super().__init__(
            config,
            num_blocks,
            block_size,
            work,
            precision,
            lambda: mla.LatentCache(precision.kv, num_blocks, *sizes),
        )
        self._query_width = config.num_heads * config.mla.cache_width
        positions = min(config.max_context, num_blocks * block_size)
        self._rope = Rope(config, config.mla.rope_dim, positions)
        with Checkpoint(folder, config.fp8) as checkpoint:
            shapes = dict(chip_shapes(config))

            def read(name: str) -> Floats:
                return checkpoint.read(name, shapes[name])

            embedding = read("model.embed_tokens.weight")
            self._embedding = Embedding(embedding, precision)
            head = embedding if config.tie_embeddings else read("lm_head.weight")
            self._head = linear.pack(head, precision.head)
            self._norm = read("model.norm.weight")
            del embedding, head  # not held twice while the layers are read
            self._layers = tuple(
                _Layer(checkpoint, config, config.mla, layer, precision, self._cache, self._rope)
                for layer in range(config.num_layers)
            )

    @quiet
    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput | None]:
        return self._layers[layer].forward(x, self._plans.of(layout))

    @quiet
    def logits(self, x: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """[R, V] float32."""
        return linear.forward(self._head, rms_norm(x[rows_R], self._norm, self.config.rms_eps))

    def _new_plan(self, layout: StepLayout) -> LatentStep:
        return plan_step(layout, self.block_size, self._query_width, self._rope.positions)


class _Layer:
    """The chip's part of one layer: attention, then a dense network, or a gate and the experts
    that every token visits.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: ModelConfig,
        sizes: Mla,
        layer: int,
        precision: Precision,
        cache: mla.LatentCache,
        rope: Rope,
    ) -> None:
        shapes = dict(layer_shapes(config, layer))

        def read(name: str) -> Floats:
            return checkpoint.read(f"model.layers.{layer}.{name}", shapes[name])

        self._eps = config.rms_eps
        self._input_norm = read("input_layernorm.weight")
        self._attention = LatentAttention(config, sizes, layer, read, precision, cache, rope)
        self._post_norm = read("post_attention_layernorm.weight")
        self._router: Gating | None = None
        self._network: _Network | None = None
        if config.is_dense(layer):
            self._network = _Network(read, "mlp.", precision.weights)
            return
        self._gate = linear.pack(read("mlp.gate.weight"), "fp32")
        bias_E = read("mlp.gate.e_score_correction_bias") if config.gate.has_bias else None
        self._router = Gating(config.gate, bias_E, config.top_k, config.norm_topk_prob)
        if config.shared_intermediate:
            self._network = _Network(read, "mlp.shared_experts.", precision.weights)

    def forward(self, x_TH: Floats, step: LatentStep) -> tuple[Floats, MoeInput | None]:
        x_TH += self._attention.forward(rms_norm(x_TH, self._input_norm, self._eps), step)
        hidden_TH = rms_norm(x_TH, self._post_norm, self._eps)
        if self._network is not None:
            x_TH += self._network.forward(hidden_TH)
        if self._router is None:
            return x_TH, None
        chosen = self._router.choose(linear.forward(self._gate, hidden_TH))
        return x_TH, MoeInput(hidden_TH, *chosen)


class _Network:
    """A gated network for all tokens: an expert that each of them visits, with weight one."""

    def __init__(self, read: Read, prefix: str, kind: WeightKind) -> None:
        gate, up, down = (read(f"{prefix}{name}_proj.weight") for name in ("gate", "up", "down"))
        inner, hidden = gate.shape
        self._experts = moe.Experts(kind, 1, hidden, inner)
        self._experts.set(0, gate, up, down)

    def forward(self, x_TH: Floats) -> NDArray[Any]:
        """[T, H] -> [T, H], float32; float64 of fp32 weights."""
        experts_T1 = np.zeros((len(x_TH), 1), dtype=np.int32)
        return moe.forward(self._experts, x_TH, experts_T1, np.ones(experts_T1.shape, np.float32))

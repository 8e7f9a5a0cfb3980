"""A chip's part of a model whose layers are composed of calls of kernels: DeepSeek's latent
attention, and any model whose keys may be elsewhere.

Each product is a kernel's call; norms, rotation and the choice of experts are numpy's, as in exact
mode. A row's bits do not depend on batch, chunking or blocks. A layer is one launch; in a step in
which some keys are elsewhere it is three:

    enter ─▶ queries, KV ── Attend ──▶ parts merged, values, residual, norm, gate ── Experts ──▶
                              └ own keys

Letters: T tokens of the step, H hidden, R rows wanted, V vocabulary, N heads, D width of a query.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import Precision, WeightKind
from kernels import linear, moe
from kernels.numbers import Floats, quiet
from workers.model.base import MoeInput, StepLayout
from workers.model.checkpoint import Checkpoint
from workers.model.embedding import Embedding
from workers.model.forward import after_gate, one_launch
from workers.model.native.kernel_chip import Cache, KernelChip
from workers.model.native.latent_attention import LatentStep, plan_step
from workers.model.parts.dense import Read
from workers.model.parts.gating import Gating
from workers.model.parts.kv_form import KvForm
from workers.model.parts.partial import Part, PartOf, merged
from workers.model.parts.rope import Rope
from workers.model.parts.rows import rms_norm
from workers.model.program import Attend, Compute, Enter, Program
from workers.model.tensors import chip_shapes, layer_shapes
from workers.model.work import WorkModel


class Attention(Protocol):
    """One layer's, whole or in its steps."""

    def forward(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' KV, then mixes values: [T, H], without the residual."""
        ...

    def queries(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Writes the new tokens' KV; queries as they meet the cache, [T, N, D]."""
        ...

    def values(self, mixed: Floats) -> Floats:
        """What follows when values are mixed: [T, H], without the residual."""
        ...


class ComposedChip(KernelChip[Cache, LatentStep]):
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
        self.form = form = KvForm(config, precision, block_size)
        super().__init__(
            config,
            num_blocks,
            block_size,
            work,
            precision,
            lambda: form.cache(num_blocks),  # type: ignore[arg-type,return-value]
        )
        heads, width = form.query_shape
        self._query_width = heads * width
        positions = min(config.max_context, num_blocks * block_size)
        rotated = config.head_dim if config.mla is None else config.mla.rope_dim
        self._rope = Rope(config, rotated, positions)
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
                self._read_layer(checkpoint, layer, precision) for layer in range(config.num_layers)
            )

    def _read_layer(self, checkpoint: Checkpoint, layer: int, precision: Precision) -> "_Layer":
        shapes = dict(layer_shapes(self.config, layer))

        def read(name: str) -> Floats:
            return checkpoint.read(f"model.layers.{layer}.{name}", shapes[name])

        attention = self._attention(layer, read, precision)
        return _Layer(self.config, layer, read, precision, attention)

    @abstractmethod
    def _attention(self, layer: int, read: Read, precision: Precision) -> Attention:
        """One layer's, from its tensors."""

    @quiet
    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput | None]:
        return self._layers[layer].forward(x, self._plans.of(layout))

    def layer(self, layer: int, enter: Enter, layout: StepLayout) -> Program[Enter]:
        """One launch, or three; then the experts."""
        if not layout.has_far:
            return (yield from one_launch(self, layer, enter, layout))
        step, works = (
            self._plans.of(layout),
            self._work.attend_apart(layer, layout, self.block_size),
        )
        x, q_TND = yield Compute(works.queries, self._queries, (layer, enter, step))
        here = (self._cache, layer, q_TND, step.layout)
        own, others = yield Attend(layer, q_TND, Compute(works.own, self.form.attend, here))
        x, moe = yield Compute(works.values, self._values, (layer, x, own, others))
        return (yield from after_gate(self, layer, x, moe))

    @quiet
    def _queries(self, layer: int, enter: Enter, step: LatentStep) -> tuple[Floats, Floats]:
        x = enter()
        return x, self._layers[layer].queries(x, step)

    @quiet
    def _values(
        self, layer: int, x: Floats, own: Part, others: list[PartOf]
    ) -> tuple[Floats, MoeInput | None]:
        return self._layers[layer].values(x, merged(own, others))

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
        config: ModelConfig,
        layer: int,
        read: Read,
        precision: Precision,
        attention: Attention,
    ) -> None:
        self._eps = config.rms_eps
        self._input_norm = read("input_layernorm.weight")
        self._attention = attention
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
        attended = self._attention.forward(rms_norm(x_TH, self._input_norm, self._eps), step)
        return self._after(x_TH, attended)

    def queries(self, x_TH: Floats, step: LatentStep) -> Floats:
        """Queries [T, N, D]; the new tokens' KV goes into its blocks."""
        return self._attention.queries(rms_norm(x_TH, self._input_norm, self._eps), step)

    def values(self, x_TH: Floats, mixed: Floats) -> tuple[Floats, MoeInput | None]:
        """What follows when values are mixed. Overwrites x_TH."""
        return self._after(x_TH, self._attention.values(mixed))

    def _after(self, x_TH: Floats, attended_TH: Floats) -> tuple[Floats, MoeInput | None]:
        x_TH += attended_TH
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

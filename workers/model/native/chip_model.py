"""A chip's part of a model on the kernels: embedding, attention, gate and logits.

One native call does a layer, or a whole step where the experts are here too. A row's bits do not
depend on batch, chunking or blocks; in fp32 (exact mode) not on the placement of experts either.

Letters: T tokens of the step, H hidden, R rows wanted, V vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.families import load_model
from configs.model_config import ModelConfig
from configs.precision import EXACT, Precision
from kernels import attention, linear
from kernels.decoder import Decoder, Gate, LayerNorms, Plan, Shape
from workers.model.base import MoeInput, StepLayout
from workers.model.checkpoint import Checkpoint
from workers.model.embedding import Embedding
from workers.model.native.expert_model import NativeExpertModel
from workers.model.native.kernel_chip import KernelChip
from workers.model.parts.rope import Rope
from workers.model.tensors import chip_shapes
from workers.model.work import WorkModel

Floats = NDArray[np.float32]


class NativeChipModel(KernelChip[attention.KvCache, Plan]):
    """ChipModel for one Hugging Face folder. Hidden states are [T, H] float32 arrays.

    num_blocks   KV blocks of this chip        block_size   tokens in a block, a multiple of 16
    work         how work is counted; in "hbm" where left out
    experts      all experts of the model, where they stand on this chip: `step` needs them

    Raises CheckpointError where the folder does not fit, ValueError on sizes that no kernel takes.
    """

    def __init__(
        self,
        folder: str | Path,
        num_blocks: int,
        block_size: int = 16,
        work: WorkModel | None = None,
        precision: Precision = EXACT,
        experts: NativeExpertModel | None = None,
    ) -> None:
        config = load_model(folder)
        sizes = (block_size, config.num_layers, config.num_kv_heads, config.head_dim)
        super().__init__(
            config,
            num_blocks,
            block_size,
            work,
            precision,
            lambda: attention.KvCache(precision.kv, num_blocks, *sizes),
        )
        with Checkpoint(folder, config.fp8) as checkpoint:
            shapes = dict(chip_shapes(config))

            def read(name: str) -> Floats:
                return checkpoint.read(name, shapes[name])

            embedding = read("model.embed_tokens.weight")
            head = embedding if config.tie_embeddings else read("lm_head.weight")
            self._embedding = Embedding(embedding, precision)
            self._decoder = _decoder(config, min(config.max_context, num_blocks * block_size))
            for layer in range(config.num_layers):
                self._add_layer(layer, read, precision, experts)
            norm = read("model.norm.weight")
            self._decoder.set_head(norm, linear.pack(head, precision.head))

    def _add_layer(
        self, layer: int, read: Any, precision: Precision, experts: NativeExpertModel | None
    ) -> None:
        prefix = f"model.layers.{layer}."

        def get(name: str) -> Floats:
            tensor: Floats = read(f"{prefix}{name}.weight")
            return tensor

        projections = [get(f"self_attn.{name}_proj") for name in ("q", "k", "v")]
        scale = np.float32(self.config.head_dim**-0.5)
        self._decoder.add_layer(
            LayerNorms(
                get("input_layernorm"),
                get("self_attn.q_norm") * scale,
                get("self_attn.k_norm"),
                get("post_attention_layernorm"),
            ),
            linear.pack(np.concatenate(projections), precision.weights),
            linear.pack(get("self_attn.o_proj"), precision.weights),
            linear.pack(get("mlp.gate"), "fp32"),
            experts=None if experts is None else experts.layers.get(layer),
        )

    def attend(self, layer: int, x: Floats, layout: StepLayout) -> tuple[Floats, MoeInput]:
        """Writes the new tokens' KV, then attention with residual, norm and gate. Overwrites x."""
        chosen = self._decoder.attend(self._cache, self._plans.of(layout), layer, x)
        return x, MoeInput(*chosen)

    def step(self, x: Floats, layout: StepLayout) -> Floats:
        """All layers, experts included: a LocalStep in one native call. Overwrites x.

        Raises ValueError without experts here.
        """
        self._decoder.forward(self._cache, self._plans.of(layout), x)
        return x

    def logits(self, x: Floats, rows_R: NDArray[np.int64]) -> Floats:
        """[R, V] float32."""
        return self._decoder.logits(x, rows_R)

    def _new_plan(self, layout: StepLayout) -> Plan:
        sequences = layout.sequences
        return self._decoder.plan(
            self._cache,
            [s.start for s in sequences],
            [s.count for s in sequences],
            [s.block_ids for s in sequences],
        )


def _decoder(config: ModelConfig, positions: int) -> Decoder:
    gate = Gate(config.num_experts, config.top_k, normalise=config.norm_topk_prob)
    shape = Shape(
        config.hidden, config.num_heads, config.num_kv_heads, config.head_dim, config.rms_eps
    )
    rope = Rope(config, config.head_dim, positions)
    return Decoder(shape, gate, rope.cosines, rope.sines)

"""In what numbers a model is held and computed, and how many bytes that makes.

`dtype` decides exactness: fp32 weights, activations and KV are exact mode, all else is a speed mode
with a tolerance.
"""

import math
from dataclasses import dataclass
from typing import Literal

from configs.attention import Gqa, Matrix
from configs.gate import PLAIN_GATE
from configs.model_config import ModelConfig

WeightKind = Literal["fp32", "bf16", "int8", "int4"]
KvKind = Literal["fp32", "bf16", "int8"]
Arithmetic = Literal["fp32", "bf16", "int8"]
KV_KINDS: tuple[KvKind, ...] = ("fp32", "bf16", "int8")
WireKind = Literal["fp32", "bf16", "int8"]  # of rows on their way to experts

# Bits of one stored weight, scales included: int8 has one fp32 scale a row (nothing beside a row of
# hundreds), int4 one bf16 scale for 128 weights.
_WEIGHT_BITS: dict[WeightKind, float] = {"fp32": 32, "bf16": 16, "int8": 8, "int4": 4.125}
_KV_BYTES: dict[KvKind, int] = {"fp32": 4, "bf16": 2, "int8": 1}
_FP32_BYTES = 4
# What attention on the kernels asks of blocks and heads: whole registers, and offsets in a byte.
_UNIT, _MOST, _MOST_LATENT = 16, 256, 4096


@dataclass(frozen=True, slots=True)
class Precision:
    """Kinds of stored numbers; gates and norms are fp32 always: a wrong expert costs more than all
    their bytes.

    weights   of projections and experts        kv   of the KV cache
    """

    weights: WeightKind = "fp32"
    kv: KvKind = "fp32"

    @property
    def exact(self) -> bool:
        """The same bits under every batch, chunking and placement, and no approximation."""
        return self.weights == "fp32" and self.kv == "fp32"

    @property
    def head(self) -> WeightKind:
        """Of the vocabulary projection: 4 bits cost more there than elsewhere, so 8 at least."""
        return "int8" if self.weights == "int4" else self.weights

    @property
    def embedding(self) -> Literal["fp32", "bf16"]:
        """Of the embedding, of which a step reads single rows."""
        return "fp32" if self.weights == "fp32" else "bf16"

    @property
    def arithmetic(self) -> Arithmetic:
        """What the multiply-adds of a step are done in: a device's rate of that name."""
        return "int8" if self.weights == "int4" else self.weights

    def pair_arithmetic(self, config: ModelConfig) -> Arithmetic:
        """The same where queries meet keys: the cache's numbers. A latent in int8 is widened to
        bf16 first: it is the key and the value of all heads.
        """
        return "bf16" if config.mla is not None and self.kv == "int8" else self.kv

    # Bytes of a model's parts. What a device has to hold and what a step has to read is the same.

    def kv_bytes_per_token(self, config: ModelConfig) -> int:
        """What one token leaves in the KV cache of all layers."""
        return config.num_kv_layers * self.kv_layer_bytes(config)

    def state_layer_bytes(self, config: ModelConfig, layer: int) -> int:
        """A sequence's state in one layer: fp32, beside inputs of a convolution as they come."""
        return config.state_bytes(layer, 4 if self.weights == "fp32" else 2)

    def state_bytes(self, config: ModelConfig) -> int:
        """What a sequence keeps beside keys and values, in all layers."""
        return sum(self.state_layer_bytes(config, layer) for layer in range(config.num_layers))

    def kv_layer_bytes(self, config: ModelConfig) -> int:
        """The same of one layer, the key of an index with it."""
        return self.kv_entry_bytes(config) + config.index_bytes(_KV_BYTES[self.kv])

    def kv_entry_bytes(self, config: ModelConfig) -> int:
        """What queries that meet a token read of it in one layer. int8 has an fp32 scale for each
        head's key and for its value, or for the latent and for the rotated key.
        """
        attention = config.attention
        scales = 2 * attention.num_kv_heads if isinstance(attention, Gqa) else 2
        scale_bytes = scales * _FP32_BYTES if self.kv == "int8" else 0
        return attention.cache_width * _KV_BYTES[self.kv] + scale_bytes

    def is_fp8(self, config: ModelConfig) -> bool:
        """Whether projections stay as an fp8 folder has them, to be widened as they are used; int8
        and int4 are made of them instead.
        """
        return config.fp8 is not None and self.weights in ("fp32", "bf16")

    def expert_bytes(self, config: ModelConfig) -> int:
        """Gate, up and down projection of one expert of one layer."""
        if self.is_fp8(config):
            return self._fp8_bytes(config, config.expert_matrices)
        return weight_bytes(config.expert_bytes(1), self.weights)

    def layer_bytes(self, config: ModelConfig, layer: int) -> int:
        """What a chip reads for one layer: matrices; gate, norms and bias in fp32."""
        gate = 0 if config.is_dense(layer) else config.num_experts * config.hidden
        matrices = config.layer_weights(layer) - gate
        kept = (config.layer_bytes(layer, 1) - matrices) * _FP32_BYTES
        if self.is_fp8(config):
            return self._fp8_bytes(config, config.layer_matrices(layer)) + kept
        return weight_bytes(matrices, self.weights) + kept

    def _fp8_bytes(self, config: ModelConfig, matrices: tuple[Matrix, ...]) -> int:
        """Bytes and scales of those that are fp8, and the others in `weights`."""
        num_bytes = 0
        for name, shape in matrices:
            if config.fp8 is not None and name not in config.fp8.wide:
                num_bytes += config.fp8.num_bytes(shape)
            else:
                num_bytes += weight_bytes(shape[0] * shape[1], self.weights)
        return num_bytes

    def head_bytes(self, config: ModelConfig) -> int:
        """The vocabulary projection (whether or not it is the embedding)."""
        return weight_bytes(config.head_bytes(1), self.head)

    def embedding_row_bytes(self, config: ModelConfig) -> int:
        """One token's row of the embedding."""
        return weight_bytes(config.hidden, self.embedding)

    def chip_bytes(self, config: ModelConfig) -> int:
        """All that a chip owns: layers without experts, final norm, embedding and head."""
        layers = sum(self.layer_bytes(config, layer) for layer in range(config.num_layers))
        return layers + config.hidden * _FP32_BYTES + self.embeddings_bytes(config)

    def embeddings_bytes(self, config: ModelConfig) -> int:
        """Embedding and head. Where both are stored alike, a tied head is the embedding; else each
        is there in its own way.
        """
        shared = config.tie_embeddings and self.head == self.embedding
        embedding = 0 if shared else weight_bytes(config.head_bytes(1), self.embedding)
        return embedding + self.head_bytes(config)

    def shard_bytes(self, config: ModelConfig, num_experts: int) -> int:
        """So many experts of every sparse layer."""
        return num_experts * config.num_sparse_layers * self.expert_bytes(config)

    def total_bytes(self, config: ModelConfig) -> int:
        """All weights: chip and every expert of every layer."""
        return self.chip_bytes(config) + self.shard_bytes(config, config.num_experts)

    def label(self, config: ModelConfig) -> str:
        """What is held and what computes with it, in words."""
        return f"{config.fp8}, computed in {self}" if self.is_fp8(config) else str(self)

    def __str__(self) -> str:
        if self.exact:
            return "fp32 (exact)"
        return self.weights if self.weights == self.kv else f"{self.weights}, KV {self.kv}"


EXACT = Precision()


def stored(config: ModelConfig) -> Precision:
    """What a folder itself suggests: exact mode for fp32 weights, else bf16, also beside fp8."""
    is_wide = config.dtype == "float32" and config.fp8 is None
    return EXACT if is_wide else Precision("bf16", "bf16")


def weight_bytes(numbers: int, kind: WeightKind) -> int:
    """Of so many stored numbers, rounded up once."""
    return math.ceil(numbers * _WEIGHT_BITS[kind] / 8)


def kernels_hindrance(config: ModelConfig, block_size: int) -> str | None:
    """Why the kernels cannot compute a chip's part of this model, and what would do; None if they
    can. What they cannot, plain arrays compute, in fp32 alone.
    """
    mla = config.mla
    if mla is None and (config.dense_layers or config.gate != PLAIN_GATE):
        return f"{config.architecture} is computed in fp32 only: set dtype: fp32"
    if block_size % _UNIT or block_size > _MOST:
        return f"block_size is {block_size}: it must be a multiple of {_UNIT} up to {_MOST}"
    widths = {"head_dim": config.head_dim}
    if mla is not None:
        widths = {"kv_lora_rank": mla.kv_rank, "qk_rope_head_dim": mla.rope_dim}
    most = _MOST if mla is None else _MOST_LATENT
    for name, width in widths.items():
        if width % _UNIT or width > most:
            return (
                f"the model's {name} is {width}: it must be a multiple of {_UNIT} up to {most}; "
                "set dtype: fp32"
            )
    return None

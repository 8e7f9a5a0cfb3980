"""A described model in the place of a computed one, for numerics that need no weights: digests.

Its sizes, bytes, windows and stored formats are the shape's own. What a cache of equal blocks and
one KV width, with a state of fixed size in some layers, cannot hold is refused by name: compressed
entries, indexes in some layers alone, borrowed keys, layers of other heads.
"""

from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from typing import Self

from configs.attention import Matrix, Mla, Window
from configs.checkpoint_files import CheckpointError
from configs.families import FAMILIES, load_model
from configs.fp8 import Fp8
from configs.model_config import ModelConfig
from configs.model_presets import is_model_name
from configs.shapes.alike import first_attention, formats, hindrance
from configs.shapes.attention import Full, Latent
from configs.shapes.describe import describe_model
from configs.shapes.formats import BF16, Format
from configs.shapes.network import Dense, Moe
from configs.shapes.shape import ModelShape
from configs.shapes.state import State
from configs.shapes.weight import Weight, numbers

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True)
class Stored(Fp8):
    """Any one format in the place of fp8; its scales are the format's."""

    format: Format = BF16

    def num_bytes(self, shape: tuple[int, int]) -> int:
        return self.format.num_bytes(*shape)

    def __str__(self) -> str:
        return self.format.name


@dataclass(frozen=True, slots=True)
class DescribedConfig(ModelConfig):
    """shape   where all sizes are from"""

    shape: ModelShape | None = None

    @property
    def _described(self) -> ModelShape:
        assert self.shape is not None
        return self.shape

    def with_layers(self, layers: range) -> Self:
        # Not `super()`: with slots a dataclass is another class than the one its methods know.
        return replace(ModelConfig.with_layers(self, layers), shape=self._described.part(layers))

    def with_heads(self, num_heads: int, num_kv_heads: int) -> Self:
        shape = self._described.cut(num_heads, num_kv_heads, self.num_heads)
        return replace(ModelConfig.with_heads(self, num_heads, num_kv_heads), shape=shape)

    def _chips(self, layer: int) -> list[Weight]:
        """One layer's weights but experts."""
        return [each for each in self._described.weights(layer) if each.role != "experts"]

    def _matrices(self, layer: int) -> list[Weight]:
        """Of them what is multiplied, the gate apart."""
        return [
            each
            for each in self._chips(layer)
            if not each.added and not (each.role == "router" and each.rows == self.num_experts)
        ]

    def pairs(self, layer: int, start: int, count: int) -> int:
        attention = self._attention(layer)
        return 0 if attention is None else attention.pairs(start, count)

    def met(self, layer: int, start: int, count: int) -> int:
        attention = self._attention(layer)
        return 0 if attention is None else attention.met(start, count)

    def is_state(self, layer: int) -> bool:
        return isinstance(self._described.layers[layer].mixer, State)

    @property
    def num_kv_layers(self) -> int:
        return sum(not self.is_state(layer) for layer in range(self.num_layers))

    @property
    def state_parts(self) -> int:
        found = (each.mixer for each in self._described.layers)
        return gcd(*(mixer.parts for mixer in found if isinstance(mixer, State)))

    def state_bytes(self, layer: int, number_bytes: int) -> int:
        return self._described.layer_state_bytes(layer, number_bytes)

    def state_flops(self, layer: int) -> int:
        mixer = self._described.layers[layer].mixer
        return mixer.token_flops if isinstance(mixer, State) else 0

    def index_bytes(self, number_bytes: int) -> int:
        index = first_attention(self._described).index
        return 0 if index is None else index.key_bytes(number_bytes)

    def index_macs(self, layer: int, start: int, count: int) -> int:
        attention = self._attention(layer)
        index = None if attention is None else attention.index
        if attention is None or index is None:
            return 0
        return attention.scored(start, count) * index.pair_macs

    def window_of(self, layer: int) -> Window | None:
        attention = self._attention(layer)
        if not isinstance(attention, Full) or attention.window is None:
            return None
        return Window(attention.window, attention.chunked)

    def kind_of(self, layer: int) -> int:
        return self._described.first_like(layer)

    def _attention(self, layer: int) -> Full | Latent | None:
        """None where a state is kept."""
        attention = self._described.layers[layer].mixer
        return attention if isinstance(attention, Full | Latent) else None

    def expert_bytes(self, dtype_bytes: int) -> int:
        return sum(rows * columns for _, (rows, columns) in self.expert_matrices) * dtype_bytes

    def layer_matrices(self, layer: int) -> tuple[Matrix, ...]:
        return tuple((each.name, (each.rows, each.columns)) for each in self._matrices(layer))

    @property
    def expert_matrices(self) -> tuple[Matrix, ...]:
        """Biases with them, as one of a single column."""
        sparse = self._described.sparse_layers
        weights = self._described.weights(sparse[0]) if sparse else ()
        return tuple((w.name, (w.rows, w.columns)) for w in weights if w.role == "experts")

    def layer_weights(self, layer: int) -> int:
        gate = 0 if self.is_dense(layer) else self.num_experts * self.hidden
        return numbers(self._matrices(layer)) + gate

    def layer_bytes(self, layer: int, dtype_bytes: int) -> int:
        return numbers(self._chips(layer)) * dtype_bytes

    def chip_bytes(self, dtype_bytes: int) -> int:
        layers = sum(self.layer_bytes(layer, dtype_bytes) for layer in range(self.num_layers))
        return layers + numbers(self._described.outside()) * dtype_bytes


def load_described(folder: str | Path) -> ModelConfig:
    """As `load_model`, and every described model whose cache is alike in all layers.

    Raises CheckpointError for what is neither, in one line.
    """
    name = str(folder)
    path = Path(folder).expanduser()
    shape = describe_model(name if is_model_name(name) else path)
    if shape.architecture in FAMILIES and _is_computed(shape):
        return load_model(folder)
    return config_of(shape, name)


def _is_computed(shape: ModelShape) -> bool:
    """Weights of a computed family that are wide or fp8; others (int4 experts) are described."""
    if shape.storage.choose is None:
        return True
    sparse = shape.sparse_layers[0] if shape.sparse_layers else 0
    found = {shape.storage.of(sparse, each).bits for each in shape.weights(sparse)}
    return found <= {8, 16, 32}


def config_of(shape: ModelShape, name: str) -> DescribedConfig:
    """Raises CheckpointError where layers are not alike; `name` is what the error calls it."""
    if reason := hindrance(shape):
        raise CheckpointError(f"{name}: {shape.architecture} {reason}")
    attention = first_attention(shape)
    moe, dense = _networks(shape)
    latent = attention if isinstance(attention, Latent) else None
    return DescribedConfig(
        architecture=shape.architecture,
        dtype=_DTYPES.get(shape.storage.wide.name, "bfloat16"),
        hidden=shape.hidden,
        num_layers=shape.num_layers,
        num_heads=attention.heads,
        num_kv_heads=attention.heads if isinstance(attention, Latent) else attention.kv_heads,
        head_dim=_head_dim(attention),
        num_experts=0 if moe is None else moe.num_experts,
        top_k=0 if moe is None else moe.top_k,
        moe_intermediate=0 if moe is None else moe.inner,
        vocab=shape.vocab,
        rope_theta=1.0,  # positions and norms are nothing to digests
        rms_eps=1.0,
        norm_topk_prob=False,
        tie_embeddings=shape.tied,
        max_context=shape.max_context,
        mla=None if latent is None else _mla(shape.hidden, latent),
        dense_layers=sum(map(shape.is_dense, range(shape.num_layers))),
        dense_intermediate=0 if dense is None else dense.inner,
        shared_intermediate=0 if moe is None else moe.shared,
        fp8=_stored(shape),
        shape=shape,
    )


def _networks(shape: ModelShape) -> tuple[Moe | None, Dense | None]:
    last, first = shape.layers[-1].network, shape.layers[0].network
    moe = last if isinstance(last, Moe) else None
    return moe, first if isinstance(first, Dense) else None


def _head_dim(attention: Full | Latent) -> int:
    if isinstance(attention, Latent):
        return attention.nope_dim + attention.rope_dim
    return attention.head_dim


def _mla(hidden: int, latent: Latent) -> Mla:
    widths = latent.kv_rank, latent.nope_dim, latent.rope_dim, latent.value_dim
    return Mla(hidden, latent.heads, latent.q_rank, *widths)


def _stored(shape: ModelShape) -> Stored | None:
    """The one format of quantised matrices, and which are wide."""
    found = formats(shape)
    if not found:
        return None
    wide = frozenset(
        weight.name
        for layer in range(shape.num_layers)
        for weight in shape.weights(layer)
        if shape.storage.of(layer, weight) == shape.storage.wide
    )
    return Stored("tensor", wide=wide, format=next(iter(found.values())))

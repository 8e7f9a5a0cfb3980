"""What a digest model has to know of a model's shape."""

import math
from dataclasses import dataclass
from typing import Protocol

from configs.attention import Window
from configs.model_config import ModelConfig
from configs.parts import Part
from configs.precision import Precision

# Tokens whose keys make one digest: blocks of any size that is a multiple give the same text.
SPAN_TOKENS = 16
# Queries, and what comes of them, travel in fp32 (`workers.wire.kinds.near`).
_FP32_BYTES = 4


class Shape(Protocol):
    """Sizes that decide the text. `ModelConfig` has them."""

    @property
    def architecture(self) -> str: ...
    @property
    def hidden(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_heads(self) -> int: ...
    @property
    def num_experts(self) -> int: ...
    @property
    def top_k(self) -> int: ...
    @property
    def vocab(self) -> int: ...
    @property
    def shared_intermediate(self) -> int: ...

    def is_dense(self, layer: int) -> bool: ...
    def window_of(self, layer: int) -> Window | None: ...
    def is_state(self, layer: int) -> bool: ...


def kv_units(config: ModelConfig) -> int:
    """Into how many parts the keys of a token can be sharded: KV heads, or one latent."""
    return config.num_kv_units


def units_of(config: ModelConfig, part: Part) -> range:
    """Which of them a part of a model holds."""
    if part.heads is None:
        return range(kv_units(config))
    return range(part.heads.first, part.heads.first + part.heads.count)


def name_of(shape: Shape, units: int) -> str:
    """What says which model it is: its weights' digests follow from it."""
    return (
        f"{shape.architecture} {shape.hidden} {shape.num_layers} {shape.num_heads} {units} "
        f"{shape.num_experts} {shape.top_k} {shape.vocab}"
    )


def span_of(block_size: int) -> int:
    """Tokens of one digest in blocks of that size."""
    return math.gcd(block_size, SPAN_TOKENS)


@dataclass(frozen=True, slots=True)
class StateSizes:
    """carried_bytes   of a block that comes with its sequence's state
    stand_bytes     of them, those that stand for the state
    num_bytes       of the state, in all layers
    """

    carried_bytes: int
    stand_bytes: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class KvSizes:
    """What the keys of the real model take, where others stand for them.

    units          in which a token's keys of one layer come
    layer_bytes    of one token's keys in one layer
    num_heads, query_width   of a query as it meets the cache
    carried_bytes, tokens    so many bytes stand for one unit of so many tokens: a digest for one
                   token's, or a byte for a block's
    states         where some layers keep them: None where none does
    """

    units: int
    layer_bytes: int
    num_heads: int
    query_width: int
    carried_bytes: int = 8
    tokens: int = 1
    states: "StateSizes | None" = None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        precision: Precision,
        carried_bytes: int = 8,
        tokens: int = 1,
        *,
        block_tokens: int = 1,
    ) -> "KvSizes":
        width = config.head_dim if config.mla is None else config.mla.cache_width
        layer_bytes = precision.kv_layer_bytes(config)
        sizes = kv_units(config), layer_bytes, config.num_heads, width
        if not config.has_states:
            return cls(*sizes, carried_bytes, tokens)
        one_layer = kv_units(config) * carried_bytes * block_tokens // tokens
        states = StateSizes(
            one_layer * config.num_layers,
            one_layer * (config.num_layers - config.num_kv_layers),
            precision.state_bytes(config),
        )
        return cls(*sizes, carried_bytes, tokens, states)

    def blocks_bytes(self, num_blocks: int, carried: int) -> int:
        """Of blocks of which each is so many bytes: with a state, or of other layers alone."""
        if self.states is None or carried != self.states.carried_bytes:
            return self.kv_bytes(num_blocks * carried)
        keys = self.kv_bytes(num_blocks * (carried - self.states.stand_bytes))
        return keys + num_blocks * self.states.num_bytes

    def kv_bytes(self, num_bytes: int) -> int:
        """Of keys that so many bytes stand for, be it of some units alone."""
        return num_bytes * self.tokens * self.layer_bytes // (self.carried_bytes * self.units)

    def query_bytes(self, num_tokens: int, *, widths: bool) -> int:
        """Of so many queries or mixed values, or (without `widths`) of one number a head."""
        return num_tokens * self.num_heads * (self.query_width if widths else 1) * _FP32_BYTES

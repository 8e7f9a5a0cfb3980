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


def kv_units(config: ModelConfig) -> int:
    """Into how many parts the keys of a token can be sharded: KV heads, or one latent."""
    return 1 if config.mla is not None else config.num_kv_heads


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
class KvSizes:
    """What the keys of the real model take, where digests stand for them.

    units          digests of one token's keys in one layer
    layer_bytes    of one token's keys in one layer
    num_heads, query_width   of a query as it meets the cache
    """

    units: int
    layer_bytes: int
    num_heads: int
    query_width: int

    @classmethod
    def of(cls, config: ModelConfig, precision: Precision) -> "KvSizes":
        width = config.head_dim if config.mla is None else config.mla.cache_width
        layer_bytes = precision.kv_layer_bytes(config)
        return cls(kv_units(config), layer_bytes, config.num_heads, width)

    def kv_bytes(self, carried_bytes: int) -> int:
        """Of keys that so many bytes of digests stand for, be it of some units alone."""
        return carried_bytes * self.layer_bytes // (8 * self.units)

    def query_bytes(self, num_tokens: int, *, widths: bool) -> int:
        """Of so many queries or mixed values, or (without `widths`) of one number a head."""
        return num_tokens * self.num_heads * (self.query_width if widths else 1) * _FP32_BYTES

"""Gemma 2, 3 and 4: windows in most layers, norms before and after each block, tied embeddings."""

from dataclasses import replace
from typing import Literal

from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.layer import LayerShape
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import FULL, SLIDING, around, grouped, kv_heads, top_k
from configs.shapes.readers.moe import num_experts
from configs.shapes.shape import ModelShape
from configs.shapes.weight import Weight, matrix, vector


def read_gemma2(given: Given) -> ModelShape:
    """Every other layer has a window."""
    return _earlier(given, 2, None)


def read_gemma3(given: Given) -> ModelShape:
    """Five layers with a window before each without; queries and keys are normed."""
    return _earlier(
        given, given.size("sliding_window_pattern", "_sliding_window_pattern", default=6), "head"
    )


def _earlier(given: Given, step: int, norm: Literal["head"] | None) -> ModelShape:
    hidden, count = given.size("hidden_size"), given.num_layers()
    types = given.each("layer_types", count, FULL, SLIDING)
    if types is None:
        types = [SLIDING if (layer + 1) % step else FULL for layer in range(count)]
    far = replace(grouped(given), norm=norm)
    near = replace(far, window=given.size("sliding_window"))
    network = Dense(given.size("intermediate_size"))
    layers = [LayerShape(near if kind == SLIDING else far, network, 4 * hidden) for kind in types]
    return around(given, layers, tied=True)


def read_gemma4(given: Given) -> ModelShape:
    """Other heads in full layers, whose values come from the keys' projection; the last layers may
    borrow keys and values; experts beside a dense network, or none.
    """
    hidden, count = given.size("hidden_size"), given.num_layers()
    types = given.each("layer_types", count, FULL, SLIDING)
    if types is None:
        types = [SLIDING if (layer + 1) % 6 else FULL for layer in range(count)]
    far, near = _gemma4_attention(given)
    own = count - given.size_or_zero("num_kv_shared_layers")
    wide = given.is_on("use_double_wide_mlp")
    per_layer = given.size_or_zero("hidden_size_per_layer_input")
    layers = []
    for layer, kind in enumerate(types):
        borrows = layer >= own
        mixer = replace(near if kind == SLIDING else far, borrows=borrows)
        network, norms = _network(given, double=wide and borrows)
        extra = _per_layer(hidden, per_layer)
        layers.append(LayerShape(mixer, network, norms * hidden + 1, extra))
    outside = _tables(given, hidden, per_layer, count)
    return replace(around(given, layers, tied=True), extra=outside)


def _gemma4_attention(given: Given) -> tuple[Full, Full]:
    """Over all tokens, and over a window of them."""
    bias, heads = given.is_on("attention_bias"), given.size("num_attention_heads")
    near = replace(grouped(given), norm="head", bias=bias, out_bias=bias)
    keys_too = given.is_on("attention_k_eq_v")
    groups = near.kv_heads
    if keys_too and "num_global_key_value_heads" in given.values:
        groups = kv_heads(given, heads, "num_global_key_value_heads")
    dim = given.size("global_head_dim", default=512)
    far = replace(near, kv_heads=groups, head_dim=dim, keys_too=keys_too)
    return far, replace(near, window=given.size("sliding_window"))


def _network(given: Given, double: bool) -> tuple[Network, int]:
    """And how many norms of the hidden width are around attention and it."""
    dense = Dense(given.size("intermediate_size") * (2 if double else 1))
    if not given.is_on("enable_moe_block"):
        return dense, 4
    experts = num_experts(given, "num_experts")
    moe = Moe(
        experts,
        top_k(given, experts, "top_k_experts"),
        given.size("moe_intermediate_size", "expert_intermediate_size"),
        beside=dense,
        router="router.proj",
        router_gains=given.size("hidden_size") + experts,
        prefix="",
    )
    return moe, 7


def _per_layer(hidden: int, width: int) -> tuple[Weight, ...]:
    """A layer's own input for each token (Gemma 3n and the small ones of Gemma 4)."""
    return (
        *matrix("per_layer_input_gate", width, hidden, "mix"),
        *matrix("per_layer_projection", hidden if width else 0, width, "mix"),
        *vector("post_per_layer_input_norm", hidden if width else 0),
    )


def _tables(given: Given, hidden: int, width: int, count: int) -> tuple[Weight, ...]:
    if not width:
        given.pass_over("vocab_size_per_layer_input")
        return ()
    rows = given.size("vocab_size_per_layer_input")
    name = "embed_tokens_per_layer"
    table = Weight(name, rows, count * width, "embedding", used=0, added=True)
    projection = matrix("per_layer_model_projection", count * width, hidden, "mix")
    return (table, *projection, *vector("per_layer_projection_norm", width))

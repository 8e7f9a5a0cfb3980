"""Grouped-query attention before experts, in every layer or in most of them."""

from dataclasses import replace
from typing import Any, Literal

from configs.families.keys import WALKED_MAX
from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import around, grouped, stacked, top_k, windowed
from configs.shapes.shape import ModelShape

# Of one expert, as Mixtral and its followers call them: gate, up, down.
W_NAMES = ("w1", "w3", "w2")


def num_experts(given: Given, *names: str) -> int:
    return given.size(*names, most=WALKED_MAX)


def read_mixtral(given: Given) -> ModelShape:
    experts = num_experts(given, "num_local_experts")
    window = given.size("sliding_window") if "sliding_window" in given.values else None
    moe = Moe(
        experts,
        top_k(given, experts),
        given.size("intermediate_size"),
        prefix="block_sparse_moe.",
        names=W_NAMES,
    )
    return _everywhere(given, replace(grouped(given), window=window), moe)


def read_phimoe(given: Given) -> ModelShape:
    """Phi-3.5-MoE and Phi-mini-MoE: Mixtral with biases, and layer norms that have biases too."""
    bias = given.is_on("attention_bias")
    experts = num_experts(given, "num_local_experts")
    window = given.size("sliding_window") if "sliding_window" in given.values else None
    attention = replace(grouped(given), bias=bias, out_bias=bias, window=window)
    inner = given.size("intermediate_size")
    moe = Moe(experts, top_k(given, experts), inner, prefix="block_sparse_moe.", names=W_NAMES)
    hidden, count = given.size("hidden_size"), given.num_layers()
    shape = around(given, stacked([attention] * count, [moe] * count, 4 * hidden))
    return replace(shape, final=2 * hidden, head_bias=given.is_on("lm_head_bias"))


def read_olmoe(given: Given) -> ModelShape:
    """OLMoE: queries and keys normed over all heads."""
    bias = given.is_on("attention_bias")
    experts = num_experts(given, "num_experts")
    moe = Moe(experts, top_k(given, experts), given.size("intermediate_size"))
    attention = replace(grouped(given), norm="whole", bias=bias, out_bias=bias)
    return _everywhere(given, attention, moe)


def read_qwen3_moe(given: Given) -> ModelShape:
    """Qwen3-MoE, also within Qwen3-VL."""
    bias = given.is_on("attention_bias")
    given.require("use_qk_norm", True, "it must be true: queries and keys are normed")
    attention = replace(grouped(given), norm="head", bias=bias, out_bias=bias)
    return _qwen(given, attention, shared=0)


def read_qwen2_moe(given: Given) -> ModelShape:
    """Qwen1.5-MoE and Qwen2-57B: a shared expert whose output is weighed."""
    attention = replace(grouped(given), bias=given.is_on("qkv_bias", True))
    return _qwen(given, attention, given.size("shared_expert_intermediate_size"))


def read_minimax_m2(given: Given) -> ModelShape:
    """MiniMax-M2: queries and keys normed over all heads, a bias of the choice."""
    experts = num_experts(given, "num_local_experts")
    given.require("shared_intermediate_size", 0, "it must be 0: no shared expert is known of M2")
    kind: Literal["whole", "head"] = "whole"
    if given.values.get("qk_norm_type", "per_layer") == "per_head":
        kind = "head"
    moe = Moe(
        experts,
        top_k(given, experts),
        given.size("intermediate_size"),
        choice_bias=given.is_on("use_routing_bias", True),
        prefix="block_sparse_moe.",
        names=W_NAMES,
    )
    norm = kind if given.is_on("use_qk_norm", True) else None
    shape = _everywhere(given, replace(grouped(given), norm=norm), moe)
    count = given.more_layers("num_mtp_modules")
    given.pass_over("mtp_transformer_layers")
    left = f"{count} modules for multi-token prediction are not counted" if count else ""
    return replace(shape, notes=(left,) if left else ())


def read_glm4_moe(given: Given) -> ModelShape:
    """GLM-4.5 to 4.7: some dense layers first, a shared expert, a bias of the choice."""
    bias, hidden = given.is_on("attention_bias"), given.size("hidden_size")
    norm: Literal["head"] | None = "head" if given.is_on("use_qk_norm") else None
    attention = replace(grouped(given), bias=bias, norm=norm)
    experts, count = num_experts(given, "n_routed_experts"), given.num_layers()
    inner = given.size("moe_intermediate_size")
    shared = inner * given.size_or_zero("n_shared_experts")
    moe = Moe(experts, top_k(given, experts), inner, shared, choice_bias=True)
    dense = min(given.size_or_zero("first_k_dense_replace"), count)
    first: list[Network] = [Dense(given.size("intermediate_size"))] if dense else []
    networks = first * dense + [moe] * (count - dense)
    return around(given, stacked([attention] * count, networks, 2 * hidden))


def _everywhere(given: Given, attention: Full, moe: Moe) -> ModelShape:
    count, gains = given.num_layers(), 2 * given.size("hidden_size")
    return around(given, stacked([attention] * count, [moe] * count, gains))


def _qwen(given: Given, attention: Full, shared: int) -> ModelShape:
    networks = qwen_networks(given, given.num_layers(), shared)
    gains = 2 * given.size("hidden_size")
    return around(given, stacked(windowed(given, attention), networks, gains))


def qwen_networks(given: Given, count: int, shared: int) -> list[Network]:
    """Experts in every `decoder_sparse_step`-th layer but those of `mlp_only_layers`."""
    experts = num_experts(given, "num_experts", "num_local_experts")
    inner = given.size("moe_intermediate_size")
    moe = Moe(
        experts,
        top_k(given, experts),
        inner,
        shared,
        shared_gate=shared > 0,
        shared_name="shared_expert" if shared else "shared_experts",
    )
    step = given.size("decoder_sparse_step", default=1)
    only: Any = given.values.get("mlp_only_layers", [])
    if not isinstance(only, list) or not all(type(layer) is int for layer in only):
        raise given.error("mlp_only_layers", only, "it must be a list of layers")
    dense = [layer in only or (layer + 1) % step > 0 for layer in range(count)]
    given.pass_over("intermediate_size")
    if not any(dense):
        return [moe] * count
    network = Dense(given.size("intermediate_size"))
    return [network if is_dense else moe for is_dense in dense]

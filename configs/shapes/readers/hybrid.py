"""Linear attention in most layers, full attention in the others: Qwen3-Next, Qwen3.5, Kimi."""

from dataclasses import replace
from typing import Any

from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import (
    FULL,
    LINEAR,
    around,
    grouped,
    next_token_layer,
    stacked,
    top_k,
)
from configs.shapes.readers.latent import latent
from configs.shapes.readers.moe import num_experts, qwen_networks
from configs.shapes.shape import ModelShape
from configs.shapes.state import DeltaNet, Kda


def read_qwen_sparse(given: Given) -> ModelShape:
    """Qwen3-Next, Qwen3.5 and Qwen3.6 with experts, one of which every token visits."""
    shared = given.size("shared_expert_intermediate_size")
    return _qwen(given, qwen_networks(given, given.num_layers(), shared))


def read_qwen_dense(given: Given) -> ModelShape:
    """Qwen3.5 and Qwen3.6 with one network in each layer."""
    only: Any = given.values.get("mlp_only_layers", [])
    if only:
        raise given.error("mlp_only_layers", only, "it must be empty: every layer is dense")
    return _qwen(given, [Dense(given.size("intermediate_size"))] * given.num_layers())


def _qwen(given: Given, networks: list[Network]) -> ModelShape:
    hidden, count = given.size("hidden_size"), given.num_layers()
    far = _gated(given)
    near = DeltaNet(
        given.size("linear_num_key_heads"),
        given.size("linear_num_value_heads"),
        given.size("linear_key_head_dim"),
        given.size("linear_value_head_dim"),
        given.size("linear_conv_kernel_dim"),
    )
    types = given.each("layer_types", count, FULL, LINEAR)
    step = given.size("full_attention_interval", default=4)
    if types is None:
        types = [LINEAR if (layer + 1) % step else FULL for layer in range(count)]
    mixers = [near if kind == LINEAR else far for kind in types]
    layers = stacked(mixers, networks, 2 * hidden)
    more = given.more_layers("mtp_num_hidden_layers", "num_nextn_predict_layers")
    last = stacked([far], networks[-1:], 2 * hidden)
    extra = next_token_layer(hidden)
    return replace(around(given, layers), mtp=last * more, mtp_extra=extra)


def _gated(given: Given) -> Full:
    """Outputs are gated by as many numbers as they have."""
    bias = given.is_on("attention_bias")
    given.require("attn_output_gate", True, "it must be true: queries come with a gate")
    given.pass_over("output_gate_type")
    return replace(grouped(given), norm="head", gate="values", bias=bias, out_bias=bias)


def read_kimi(given: Given) -> ModelShape:
    """Kimi Linear, and Kimi K3, of which no code is published: its keys' names are followed."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    settings = given.within("linear_attn_config")
    types = given.each("layer_types", count, LINEAR, FULL)
    if settings is not None:
        linear = _linear_layers(settings, count)
        near = Kda(
            settings.size("num_heads"),
            settings.size("head_dim"),
            settings.size("short_conv_kernel_size"),
            settings.is_on("use_full_rank_gate"),
        )
    elif types is not None:  # as transformers writes it
        linear = [kind == LINEAR for kind in types]
        heads, dim = given.size("linear_num_heads"), given.size("linear_head_dim")
        near = Kda(heads, dim, given.size("linear_conv_kernel_dim"))
    else:
        raise given.missing("linear_attn_config", "it must be an object with kda_layers")
    far = replace(latent(given), gated=given.is_on("mla_use_output_gate"))
    mixers = [near if is_linear else far for is_linear in linear]
    layers = stacked(mixers, _kimi_networks(given, count), 2 * hidden)
    notes = []
    if "attn_res_block_size" in given.values:
        notes.append("queries and norms of the residuals' attention are not counted")
    return replace(around(given, layers), notes=tuple(notes))


def _linear_layers(settings: Given, count: int) -> list[bool]:
    """Which layers are linear; their lists count from one."""
    found: list[bool | None] = [None] * count
    for name, is_near in (("kda_layers", True), ("full_attn_layers", False)):
        layers: Any = settings.values.get(name)
        if not isinstance(layers, list) or not all(
            type(layer) is int and 1 <= layer <= count for layer in layers
        ):
            raise settings.error(name, layers, f"it must be a list of layers from 1 to {count}")
        for layer in layers:
            found[layer - 1] = is_near
    if None in found:
        right = f"it or full_attn_layers must name layer {found.index(None) + 1}"
        raise settings.error("kda_layers", settings.values["kda_layers"], right)
    return [is_near is True for is_near in found]


def _kimi_networks(given: Given, count: int) -> list[Network]:
    experts = num_experts(given, "num_experts", "num_local_experts")
    inner = given.size("moe_intermediate_size")
    width = given.size_or_zero("routed_expert_hidden_size")
    moe = Moe(
        experts,
        top_k(given, experts, "num_experts_per_token", "num_experts_per_tok"),
        inner,
        inner * given.size_or_zero("num_shared_experts", "n_shared_experts"),
        choice_bias=True,
        latent=width,
        latent_gains=width if given.is_on("latent_moe_use_norm") else 0,
    )
    given.pass_over("num_expert_group", "use_grouped_topk")
    given.require("moe_layer_freq", 1, "it must be 1: all layers after the first are sparse")
    types = given.each("mlp_layer_types", count, "dense", "sparse")
    first = min(given.size_or_zero("first_k_dense_replace"), count)
    first = first if types is None else types.count("dense")
    dense: list[Network] = [Dense(given.size("intermediate_size"))] if first else []
    return dense * first + [moe] * (count - first)

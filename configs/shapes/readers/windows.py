"""Full layers among layers of a window or of chunks, with experts: Llama 4, MiMo-V2, Step-3.7,
MiniMax-M3.
"""

from dataclasses import replace
from typing import Any

from configs.shapes.attention import Full
from configs.shapes.given import Given
from configs.shapes.index import Index
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import (
    CHUNKED,
    FULL,
    SLIDING,
    around,
    grouped,
    kv_heads,
    stacked,
    top_k,
)
from configs.shapes.readers.moe import W_NAMES, num_experts
from configs.shapes.shape import ModelShape


def read_llama4(given: Given) -> ModelShape:
    """Chunks but in every fourth layer; experts in every so many layers, one of them shared."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    bias = given.is_on("attention_bias")
    far = replace(grouped(given), bias=bias, out_bias=bias)
    near = replace(far, window=given.size("attention_chunk_size"), chunked=True)
    types = given.each("layer_types", count, FULL, CHUNKED)
    is_stated = bool(given.values.get("no_rope_layers"))
    rotated = given.each("no_rope_layers", count, 0, 1) if is_stated else None
    if types is None:
        flags = rotated or [int((layer + 1) % 4 > 0) for layer in range(count)]
        types = [CHUNKED if flag else FULL for flag in flags]
    given.pass_over("use_qk_norm")  # its norm has no gains
    experts = num_experts(given, "num_local_experts")
    inner = given.size("intermediate_size")
    moe = Moe(
        experts,
        top_k(given, experts),
        inner,
        inner,
        prefix="feed_forward.",
        router="router",
        shared_name="shared_expert",
    )
    step = given.size("interleave_moe_layer_step", default=1)
    given.pass_over("moe_layers")  # what follows from the step
    dense = Dense(given.size("intermediate_size_mlp"), prefix="feed_forward.")
    networks: list[Network] = [dense if (layer + 1) % step else moe for layer in range(count)]
    mixers = [near if kind == CHUNKED else far for kind in types]
    return around(given, stacked(mixers, networks, 2 * hidden))


def read_mimo_v2(given: Given) -> ModelShape:
    """MiMo-V2-Flash: layers of a window have other heads, and sinks."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    pattern = given.each("hybrid_layer_pattern", count, 0, 1)
    if pattern is None:
        raise given.missing("hybrid_layer_pattern", "it must be a list of 0 or 1, one a layer")
    bias = given.is_on("attention_bias")
    far = replace(
        grouped(given),
        value_dim=given.size("v_head_dim"),
        bias=bias,
        sinks=given.is_on("add_full_attention_sink_bias"),
    )
    heads = given.size("swa_num_attention_heads", default=far.heads)
    near = Full(
        heads,
        kv_heads(given, heads, "swa_num_key_value_heads"),
        given.size("swa_head_dim", default=far.head_dim),
        given.size("swa_v_head_dim", default=far.value_dim),
        window=given.size("sliding_window", "sliding_window_size"),
        bias=bias,
        sinks=given.is_on("add_swa_attention_sink_bias"),
    )
    given.pass_over("attention_chunk_size")  # the window once more
    mixers = [near if flag else far for flag in pattern]
    networks = _by_freq(given, count, _sigmoid_moe(given, "n_routed_experts"), "intermediate_size")
    note = "layers for multi-token prediction are not counted"
    return replace(around(given, stacked(mixers, networks, 2 * hidden)), notes=(note,))


def read_step(given: Given) -> ModelShape:
    """Step-3.7-Flash: each head's output is gated by one number."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    far = replace(grouped(given), norm="head", gate="heads")
    types = given.each("layer_types", count, FULL, SLIDING) or [FULL] * count
    other = given.within("attention_other_setting")
    near = far
    if SLIDING in types:
        near = replace(far, window=given.size("sliding_window"))
        if other is not None:
            heads = other.size("num_attention_heads", default=far.heads)
            near = replace(near, heads=heads)
    experts = num_experts(given, "num_experts", "n_routed_experts", "moe_num_experts")
    moe = Moe(
        experts,
        top_k(given, experts, "num_experts_per_tok", "moe_top_k"),
        given.size("moe_intermediate_size"),
        given.size_or_zero("share_expert_dim"),
        choice_bias=given.is_on("use_moe_router_bias"),
    )
    given.pass_over("n_shared_experts")  # share_expert_dim is the width of all of them
    first = min(given.size_or_zero("first_k_dense_replace", default=3), count)
    dense: list[Network] = [Dense(given.size("intermediate_size"))] if first else []
    mixers = [near if kind == SLIDING else far for kind in types]
    networks = dense * first + [moe] * (count - first)
    more = given.more_layers("num_nextn_predict_layers")
    notes = (f"{more} layers for multi-token prediction are not counted",) if more else ()
    return replace(around(given, stacked(mixers, networks, 2 * hidden)), notes=notes)


def read_minimax_m3(given: Given) -> ModelShape:
    """MiniMax-M3: in most layers an index chooses blocks of the past."""
    hidden, count = given.size("hidden_size"), given.num_layers()
    given.require("qk_norm_type", "per_head", "it must be per_head")
    given.pass_over("use_gemma_norm")  # adds one to the gains
    full = replace(grouped(given), norm="head" if given.is_on("use_qk_norm", True) else None)
    given.require("attention_output_gate", False, "it must be false: no gate is known of M3")
    settings = given.within("sparse_attention_config")
    flags: list[Any] = [0] * count
    sparse = full
    if settings is not None and settings.is_on("use_sparse_attention", True):
        flags = settings.each("sparse_attention_freq", count, 0, 1) or [1] * count
        sparse = replace(full, index=_block_index(settings))
    mixers = [sparse if flag else full for flag in flags]
    moe = _sigmoid_moe(given, "num_local_experts", "n_routed_experts", prefix="block_sparse_moe.")
    networks = _by_freq(given, count, moe, "dense_intermediate_size")
    more = given.more_layers("num_mtp_modules")
    given.pass_over("num_nextn_predict_layers")
    notes = (f"{more} modules for multi-token prediction are not counted",) if more else ()
    return replace(around(given, stacked(mixers, networks, 2 * hidden)), notes=notes)


def _block_index(settings: Given) -> Index:
    dim, block = settings.size("sparse_index_dim"), settings.size("sparse_block_size")
    return Index(
        settings.size("sparse_num_index_heads"),
        dim,
        settings.size("sparse_topk_blocks") * block,
        gains=2 * dim,
        weighs=False,
        fp8=False,
        names=("index_q_proj", "index_k_proj", ""),
    )


def _sigmoid_moe(given: Given, *names: str, prefix: str = "mlp.") -> Moe:
    """A bias of the choice, and shared experts where there are any."""
    experts = num_experts(given, *names)
    # MiniMax-M3's text part alone has one name for it, the whole file two that agree.
    one = prefix == "block_sparse_moe."
    inner = given.size("moe_intermediate_size", *(("intermediate_size",) if one else ()))
    shared = given.size("shared_intermediate_size", default=inner)
    return Moe(
        experts,
        top_k(given, experts),
        inner,
        shared * given.size_or_zero("n_shared_experts"),
        choice_bias=given.is_on("use_routing_bias", True),
        prefix=prefix,
        names=W_NAMES if prefix == "block_sparse_moe." else ("gate_proj", "up_proj", "down_proj"),
    )


def _by_freq(given: Given, count: int, moe: Moe, inner: str) -> list[Network]:
    """`moe_layer_freq` as a list: 1 where a layer has experts."""
    flags = given.each("moe_layer_freq", count, 0, 1)
    if flags is None:
        raise given.missing("moe_layer_freq", "it must be a list of 0 or 1, one a layer")
    given.pass_over("first_k_dense_replace")  # the same once more
    if all(flags):
        return [moe] * count
    dense = Dense(given.size(inner))
    return [moe if flag else dense for flag in flags]

"""Latent attention: DeepSeek-V2, V3, V3.2, Kimi-K2, GLM-5; the later ones with an index."""

from dataclasses import replace

from configs.shapes.attention import Latent
from configs.shapes.given import Given
from configs.shapes.index import Index
from configs.shapes.network import Dense, Moe, Network
from configs.shapes.readers.common import around, next_token_layer, stacked, top_k
from configs.shapes.readers.moe import num_experts
from configs.shapes.shape import ModelShape

EXPERTS = ("n_routed_experts", "num_routed_experts", "num_local_experts", "num_experts")
SHARED = ("n_shared_experts", "num_shared_experts")


def read_v2(given: Given) -> ModelShape:
    """DeepSeek-V2: the choice has no bias."""
    return _read(given, [latent(given)] * given.num_layers(), choice_bias=False)


def read_v3(given: Given) -> ModelShape:
    """DeepSeek-V3, V3.1, R1, Kimi-K2."""
    return _read(given, [latent(given)] * given.num_layers(), choice_bias=True)


def read_sparse(given: Given) -> ModelShape:
    """DeepSeek-V3.2 and GLM-5: an index chooses what is met, in GLM-5.2 for some layers at once."""
    count = given.num_layers()
    given.each("layer_types", count, "indexed_attention", "deepseek_sparse_attention")
    own = replace(latent(given), index=index(given))
    chooses = given.each("indexer_types", count, "full", "shared")
    given.pass_over("index_topk_freq", "index_topk_pattern")
    if chooses is None:
        step = given.size("index_topk_freq", default=1)
        offset = given.size_or_zero("index_skip_topk_offset", default=2)
        full = [max(layer - offset + 1, 0) % step == 0 for layer in range(count)]
        chooses = ["full" if is_full else "shared" for is_full in full]
    assert own.index is not None
    shared = replace(own, index=replace(own.index, own=False))
    mixers = [own if kind == "full" else shared for kind in chooses]
    return _read(given, mixers, choice_bias=True)


def latent(given: Given) -> Latent:
    heads = given.size("num_attention_heads")
    given.pass_over("head_dim", "qk_head_dim", "num_key_value_heads")
    rank = given.size("q_lora_rank") if "q_lora_rank" in given.values else None
    given.require("attention_bias", False, "it must be false: latent attention has no biases")
    return Latent(
        heads,
        rank,
        given.size("kv_lora_rank"),
        given.size("qk_nope_head_dim"),
        given.size("qk_rope_head_dim"),
        given.size("v_head_dim"),
    )


def index(given: Given) -> Index:
    """Its keys are layer-normed, so a gain and a bias for each number."""
    heads, dim = given.size("index_n_heads"), given.size("index_head_dim")
    return Index(heads, dim, given.size("index_topk"), given.size("q_lora_rank"), 2 * dim)


def networks(given: Given, count: int, choice_bias: bool) -> list[Network]:
    """Some dense layers first, then experts and shared experts, every so many layers."""
    experts = num_experts(given, *EXPERTS)
    inner = given.size("moe_intermediate_size")
    shared = inner * given.size_or_zero(*SHARED)
    moe = Moe(experts, top_k(given, experts), inner, shared, choice_bias=choice_bias)
    first = min(given.size_or_zero("first_k_dense_replace"), count)
    step = given.size("moe_layer_freq", default=1)
    types = given.each("mlp_layer_types", count, "dense", "sparse")
    sparse = [layer >= first and layer % step == 0 for layer in range(count)]
    if types is not None:
        sparse = [kind == "sparse" for kind in types]
    if all(sparse):
        return [moe] * count
    dense = Dense(given.size("intermediate_size"))
    return [moe if is_sparse else dense for is_sparse in sparse]


def _read(given: Given, mixers: list[Latent], choice_bias: bool) -> ModelShape:
    hidden, count = given.size("hidden_size"), given.num_layers()
    layers = stacked(mixers, networks(given, count, choice_bias), 2 * hidden)
    shape = around(given, layers)
    more = given.more_layers("num_nextn_predict_layers")
    return replace(shape, mtp=layers[-1:] * more, mtp_extra=next_token_layer(hidden))

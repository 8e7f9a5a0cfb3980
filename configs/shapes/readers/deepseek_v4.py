"""DeepSeek-V4: windows with compressed entries, experts everywhere, several residual streams."""

from dataclasses import replace

from configs.shapes.compressed import Compressed
from configs.shapes.given import Given
from configs.shapes.index import Index
from configs.shapes.layer import LayerShape
from configs.shapes.network import Moe
from configs.shapes.readers.common import around, next_token_layer, top_k
from configs.shapes.readers.moe import W_NAMES, num_experts
from configs.shapes.shape import ModelShape
from configs.shapes.weight import Weight, matrix, vector

_NAMES = {
    "sliding_attention": 0,
    "compressed_sparse_attention": 4,
    "heavily_compressed_attention": 128,
}
_RATIOS = tuple(_NAMES.values())


def read(given: Given) -> ModelShape:
    hidden, count = given.size("hidden_size"), given.num_layers()
    ratios = _ratios(given, count)
    mixers = {ratio: _attention(given, ratio) for ratio in _RATIOS}
    streams = given.size("hc_mult")
    mixed = (*_connection("attn", streams, hidden), *_connection("ffn", streams, hidden))
    hashed = _hashed(given, count)
    chosen = _moe(given)
    by_table = replace(chosen, choice_bias=False)
    layers = [
        LayerShape(mixers[ratio], by_table if i < hashed else chosen, 2 * hidden, mixed)
        for i, ratio in enumerate(ratios)
    ]
    head = (
        *matrix("hc_head_fn", streams, streams * hidden, "mix"),
        *vector("hc_head_base", streams + 1),
    )
    more = given.more_layers("num_nextn_predict_layers")
    last = LayerShape(mixers[0], chosen, 2 * hidden, mixed)
    note = f"tables that name the experts of each token id in {hashed} layers are not counted"
    return replace(
        around(given, layers),
        extra=head,
        mtp=(last,) * more,
        mtp_extra=(*next_token_layer(hidden), *head),
        notes=(note,) if hashed else (),
    )


def _ratios(given: Given, count: int) -> list[int]:
    """Of each layer: DeepSeek's list of numbers, or transformers' of names."""
    ratios = given.each("compress_ratios", count, *_RATIOS)
    names = given.each("layer_types", count, *_NAMES)
    if ratios is None and names is None:
        raise given.missing("compress_ratios", "it must be a list of 0, 4 or 128, one a layer")
    given.pass_over("compress_rates")
    return ratios if ratios is not None else [_NAMES[name] for name in names or ()]


def _hashed(given: Given, count: int) -> int:
    """First layers in which a table chooses experts."""
    types = given.each("mlp_layer_types", count, "hash_moe", "moe")
    stated = min(given.size_or_zero("num_hash_layers"), count)
    return stated if types is None else types.count("hash_moe")


def _attention(given: Given, ratio: int) -> Compressed:
    index = None
    if ratio == 4:
        heads, dim = given.size("index_n_heads"), given.size("index_head_dim")
        index = Index(heads, dim, given.size("index_topk"), given.size("q_lora_rank"))
    given.require("num_key_value_heads", 1, "it must be 1: all heads share one key")
    heads, groups = given.size("num_attention_heads"), given.size("o_groups")
    if heads % groups:
        raise given.error("o_groups", groups, f"it must divide the {heads} query heads")
    return Compressed(
        heads,
        given.size("head_dim"),
        given.size("q_lora_rank"),
        given.size("sliding_window"),
        groups,
        given.size("o_lora_rank"),
        ratio,
        index,
    )


def _moe(given: Given) -> Moe:
    experts = num_experts(given, "n_routed_experts", "num_local_experts")
    inner = given.size("moe_intermediate_size")
    return Moe(
        experts,
        top_k(given, experts),
        inner,
        inner * given.size_or_zero("n_shared_experts"),
        choice_bias=True,
        prefix="ffn.",
        names=W_NAMES,
    )


def _connection(name: str, streams: int, hidden: int) -> tuple[Weight, ...]:
    """Manifold-constrained hyper-connections: what mixes the residual streams around a block."""
    rows = (2 + streams) * streams
    return (
        *matrix(f"hc_{name}_fn", rows, streams * hidden, "mix"),
        *vector(f"hc_{name}_base", rows + 3),
    )

"""Names and shapes of a model's tensors in its files, as transformers writes them.

Who reads what: a chip all but the experts, a shard its experts.
"""

from collections.abc import Iterator

from configs.attention import Gqa, Mla
from configs.model_config import ModelConfig

Shape = tuple[int, ...]


def tensor_shapes(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every tensor of the model: the chip's, then the experts'."""
    yield from chip_shapes(config)
    for layer in range(config.dense_layers, config.num_layers):
        for expert in range(config.num_experts):
            yield from expert_shapes(config, layer, expert)


def chip_shapes(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    """Everything but the experts."""
    yield "model.embed_tokens.weight", (config.vocab, config.hidden)
    for layer in range(config.num_layers):
        for name, shape in layer_shapes(config, layer):
            yield f"model.layers.{layer}.{name}", shape
    yield "model.norm.weight", (config.hidden,)
    if not config.tie_embeddings:
        yield "lm_head.weight", (config.vocab, config.hidden)


def layer_shapes(config: ModelConfig, layer: int) -> Iterator[tuple[str, Shape]]:
    """The chip's part of one layer; names without the layer's prefix."""
    hidden, attention = config.hidden, config.attention
    yield "input_layernorm.weight", (hidden,)
    shapes = _mla_shapes(attention) if isinstance(attention, Mla) else _gqa_shapes(attention)
    for name, shape in shapes:
        yield f"self_attn.{name}.weight", shape
    yield "post_attention_layernorm.weight", (hidden,)
    if config.is_dense(layer):
        yield from mlp_shapes("mlp.", hidden, config.dense_intermediate)
        return
    yield "mlp.gate.weight", (config.num_experts, hidden)
    if config.gate.has_bias:
        yield "mlp.gate.e_score_correction_bias", (config.num_experts,)
    if config.shared_intermediate:
        yield from mlp_shapes("mlp.shared_experts.", hidden, config.shared_intermediate)


def expert_shapes(config: ModelConfig, layer: int, expert: int) -> Iterator[tuple[str, Shape]]:
    """Gate, up and down projection of one expert of one sparse layer."""
    prefix = f"model.layers.{layer}.mlp.experts.{expert}."
    yield from mlp_shapes(prefix, config.hidden, config.moe_intermediate)


def mlp_shapes(prefix: str, hidden: int, inner: int) -> Iterator[tuple[str, Shape]]:
    """Gate, up and down projection of a gated network."""
    yield prefix + "gate_proj.weight", (inner, hidden)
    yield prefix + "up_proj.weight", (inner, hidden)
    yield prefix + "down_proj.weight", (hidden, inner)


def _gqa_shapes(gqa: Gqa) -> Iterator[tuple[str, Shape]]:
    yield "q_proj", (gqa.query_width, gqa.hidden)
    yield "k_proj", (gqa.kv_width, gqa.hidden)
    yield "v_proj", (gqa.kv_width, gqa.hidden)
    yield "q_norm", (gqa.head_dim,)
    yield "k_norm", (gqa.head_dim,)
    yield "o_proj", (gqa.hidden, gqa.query_width)


def _mla_shapes(mla: Mla) -> Iterator[tuple[str, Shape]]:
    queries = mla.num_heads * mla.head_dim
    if mla.q_rank is None:
        yield "q_proj", (queries, mla.hidden)
    else:
        yield "q_a_proj", (mla.q_rank, mla.hidden)
        yield "q_a_layernorm", (mla.q_rank,)
        yield "q_b_proj", (queries, mla.q_rank)
    yield "kv_a_proj_with_mqa", (mla.cache_width, mla.hidden)
    yield "kv_a_layernorm", (mla.kv_rank,)
    yield "kv_b_proj", (mla.num_heads * (mla.nope_dim + mla.value_dim), mla.kv_rank)
    yield "o_proj", (mla.hidden, mla.num_heads * mla.value_dim)

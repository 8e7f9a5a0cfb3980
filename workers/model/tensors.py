"""Names and shapes of a model's tensors in its files, as transformers writes them.

Who reads what: a chip all but the experts, a shard its experts.
"""

import re
from collections.abc import Iterator

from configs.attention import Gqa, Mla
from configs.model_config import ModelConfig, gated

Shape = tuple[int, ...]

_PROJECTION = re.compile(
    r"model\.layers\.\d+\.(self_attn\.|mlp\.(?:shared_experts\.|experts\.(?=\d))?)"
    r"(?:\d+\.)?(\w+_proj(?:_with_mqa)?)\.weight"
)
_LAYER = re.compile(r"model\.layers\.(\d{1,9})\.")
# Of weights and of activations, which are computed in wider numbers.
_SCALES = (".weight_scale", ".weight_scale_inv", ".input_scale", ".activation_scale")


def tensor_shapes(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every tensor of the model: the chip's, then the experts'."""
    yield from chip_shapes(config)
    for layer in range(config.dense_layers, config.num_layers):
        for expert in range(config.num_experts):
            yield from expert_shapes(config, layer, expert)


def projection_of(name: str) -> str | None:
    """A projection's name in any layer, as `ModelConfig.layer_matrices` has it."""
    found = _PROJECTION.fullmatch(name)
    return None if found is None else found[1] + found[2]


def is_extra(config: ModelConfig, name: str) -> bool:
    """Whether a tensor that is not the model's may lie beside it: of the layers for multi-token
    prediction, which come last; scales; a head where the embedding is used; and what old writers
    saved of rotary positions.
    """
    layer = _LAYER.match(name)
    if layer is not None and int(layer[1]) >= config.num_layers:
        return True
    if config.fp8 is not None and name.endswith(_SCALES):
        return True
    is_tied_head = config.tie_embeddings and name == "lm_head.weight"
    return is_tied_head or name.endswith("rotary_emb.inv_freq")


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
    for name, shape in gated(hidden, inner):
        yield f"{prefix}{name}.weight", shape


def _gqa_shapes(gqa: Gqa) -> Iterator[tuple[str, Shape]]:
    for name, shape in gqa.matrices:
        yield name, shape
        if name == "v_proj":
            yield "q_norm", (gqa.head_dim,)
            yield "k_norm", (gqa.head_dim,)


def _mla_shapes(mla: Mla) -> Iterator[tuple[str, Shape]]:
    for name, shape in mla.matrices:
        yield name, shape
        if name == "q_a_proj":
            yield "q_a_layernorm", shape[:1]
        elif name == "kv_a_proj_with_mqa":
            yield "kv_a_layernorm", (mla.kv_rank,)

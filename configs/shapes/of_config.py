"""The shape of a model that is really computed, from its `ModelConfig`: the same sizes, so the two
agree on every byte. A test holds that.
"""

from configs.attention import Gqa, Mla
from configs.fp8 import Fp8
from configs.model_config import ModelConfig
from configs.shapes.attention import Full, Latent
from configs.shapes.formats import FP8_ROW, FP8_TENSOR, WIDE, Format, fp8_blocks
from configs.shapes.layer import LayerShape
from configs.shapes.modules import Chosen, Names
from configs.shapes.network import Dense, Moe
from configs.shapes.shape import ModelShape
from configs.shapes.storage import Storage


def shape_of(config: ModelConfig) -> ModelShape:
    """Everything that is computed, nothing else: layers for multi-token prediction are not."""
    mixer = _mixer(config.attention)
    dense = Dense(config.dense_intermediate) if config.dense_layers else None
    moe = Moe(
        config.num_experts,
        config.top_k,
        config.moe_intermediate,
        config.shared_intermediate,
        choice_bias=config.gate.has_bias,
    )
    gains = 2 * config.hidden
    layers = [
        LayerShape(mixer, dense if config.is_dense(layer) else moe, gains)
        for layer in range(config.num_layers)
    ]
    return ModelShape(
        architecture=config.architecture,
        hidden=config.hidden,
        vocab=config.vocab,
        layers=tuple(layers),
        tied=config.tie_embeddings,
        storage=_storage(config),
        max_context=config.max_context,
        final=config.hidden,
    )


def _mixer(attention: Gqa | Mla) -> Full | Latent:
    if isinstance(attention, Gqa):
        heads = attention.num_heads, attention.num_kv_heads
        return Full(*heads, attention.head_dim, norm="head")
    return Latent(
        attention.num_heads,
        attention.q_rank,
        attention.kv_rank,
        attention.nope_dim,
        attention.rope_dim,
        attention.value_dim,
    )


def _storage(config: ModelConfig) -> Storage:
    wide = WIDE[config.dtype]
    if config.fp8 is None:
        return Storage(wide)
    # Experts' projections are one name there, each expert's own here.
    wide_names = [
        name.replace("mlp.experts.", "*mlp.experts.*.") for name in sorted(config.fp8.wide)
    ]
    return Storage(wide, Chosen(_format(config.fp8), Names.of(wide_names)))


def _format(fp8: Fp8) -> Format:
    if fp8.per == "block":
        return fp8_blocks(fp8.rows, fp8.columns)
    return FP8_ROW if fp8.per == "row" else FP8_TENSOR

"""Qwen3-MoE: every layer sparse, grouped-query attention with normed queries and keys."""

from configs.families.keys import WALKED_MAX, Keys
from configs.families.yarn import read_context, read_rope
from configs.model_config import ModelConfig

KNOWN = frozenset(
    """
    hidden_act hidden_size intermediate_size num_hidden_layers num_attention_heads
    num_key_value_heads head_dim num_experts num_local_experts num_experts_per_tok
    moe_intermediate_size norm_topk_prob decoder_sparse_step mlp_only_layers vocab_size
    max_position_embeddings rms_norm_eps rope_theta rope_scaling rope_parameters attention_bias
    sliding_window use_sliding_window use_qk_norm layer_types tie_word_embeddings
    """.split()
)


def read(keys: Keys) -> ModelConfig:
    """Raises CheckpointError on what is not computed and on sizes that fit no model."""
    _refuse(keys)
    hidden, num_heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    # Of transformers' constants for YaRN DeepSeek's own code does not know this one.
    rope_theta, yarn = read_rope(keys, "attention_factor")
    config = ModelConfig(
        architecture="Qwen3MoeForCausalLM",
        dtype=keys.dtype(),
        hidden=hidden,
        num_layers=keys.count("num_hidden_layers", most=WALKED_MAX),
        num_heads=num_heads,
        num_kv_heads=keys.count("num_key_value_heads"),
        head_dim=_head_dim(keys, hidden, num_heads),
        # Newer writers of the format call the experts "local".
        num_experts=keys.count("num_experts", "num_local_experts", most=WALKED_MAX),
        top_k=keys.count("num_experts_per_tok"),
        moe_intermediate=keys.count("moe_intermediate_size"),
        vocab=keys.count("vocab_size"),
        rope_theta=rope_theta,
        rms_eps=keys.number("rms_norm_eps", 1e-6),
        norm_topk_prob=keys.flag("norm_topk_prob", False),
        tie_embeddings=keys.flag("tie_word_embeddings", False),
        max_context=read_context(keys),
        eos_token_ids=keys.eos_token_ids(),
        yarn=yarn,
    )
    _check_sizes(keys, config)
    return config


def _refuse(keys: Keys) -> None:
    """Features of the format that would change the tokens and that we do not compute."""
    values = keys.values
    # Qwen's files carry a window's size beside use_sliding_window = false: then it is not used.
    window = values.get("sliding_window")
    if window is not None and values.get("use_sliding_window", True):
        raise keys.error("sliding_window", window, "it must be null: attention is full")
    if "sliding_window" not in values and values.get("use_sliding_window"):
        right = (
            "it must be false, or sliding_window null: without that key a window has 4096 tokens"
        )
        raise keys.error("use_sliding_window", values["use_sliding_window"], right)
    if values.get("mlp_only_layers"):
        right = "it must be empty: every layer must be sparse (a mixture of experts)"
        raise keys.error("mlp_only_layers", values["mlp_only_layers"], right)
    keys.require(
        "decoder_sparse_step", 1, "it must be 1: every layer must be sparse (a mixture of experts)"
    )
    keys.require("use_qk_norm", True, "it must be true: queries and keys are normed")
    types = values.get("layer_types")
    if types is not None and types != ["full_attention"] * keys.count("num_hidden_layers"):
        raise keys.error("layer_types", types, 'each must be "full_attention"')


def _head_dim(keys: Keys, hidden: int, num_heads: int) -> int:
    if keys.values.get("head_dim") is not None:
        return keys.count("head_dim")
    if hidden % num_heads:
        right = f"without it hidden_size {hidden} must be a multiple of {num_heads} heads"
        raise keys.error("head_dim", None, right)
    return hidden // num_heads


def _check_sizes(keys: Keys, config: ModelConfig) -> None:
    if config.num_heads % config.num_kv_heads:
        right = f"it must divide num_attention_heads, {config.num_heads}"
        raise keys.error("num_key_value_heads", config.num_kv_heads, right)
    if config.head_dim % 2:
        right = "it must be even: rotary positions turn pairs"
        raise keys.error("head_dim", config.head_dim, right)
    if config.top_k > config.num_experts:
        right = f"it must be at most the number of experts, {config.num_experts}"
        raise keys.error("num_experts_per_tok", config.top_k, right)

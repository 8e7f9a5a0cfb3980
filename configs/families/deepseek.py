"""DeepSeek-V2 and DeepSeek-V3: latent attention, shared experts, some dense layers first.

The keys are those of the published folders and of `transformers` (deepseek_v2, deepseek_v3). Where
DeepSeek's own code and transformers would compute different numbers from the same keys, the keys
are refused: there is no telling what the weights were made for.
"""

from configs.attention import Mla
from configs.families.keys import WALKED_MAX, Keys
from configs.families.yarn import read_rope
from configs.gate import Gate
from configs.model_config import ModelConfig

# Layers for multi-token prediction are not used, and transformers computes head_dim anew.
KNOWN = frozenset(
    """
    hidden_act hidden_size intermediate_size num_hidden_layers num_attention_heads
    num_key_value_heads q_lora_rank kv_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim
    qk_head_dim head_dim n_routed_experts num_routed_experts num_local_experts n_shared_experts
    num_shared_experts num_experts_per_tok moe_intermediate_size moe_layer_freq n_group topk_group
    topk_method scoring_func norm_topk_prob routed_scaling_factor first_k_dense_replace vocab_size
    max_position_embeddings rms_norm_eps rope_theta rope_scaling rope_parameters rope_interleave
    attention_bias mlp_bias tie_word_embeddings
    """.split()
)
# DeepSeek's name, and what other writers call the same.
_EXPERTS = ("n_routed_experts", "num_routed_experts", "num_local_experts")
_SHARED = ("n_shared_experts", "num_shared_experts")


def read_v2(keys: Keys) -> ModelConfig:
    """Raises CheckpointError on what is not computed and on sizes that fit no model."""
    values = keys.values
    keys.require("rope_interleave", True, "it must be true in DeepSeek-V2")
    keys.require("scoring_func", "softmax", 'it must be "softmax" in DeepSeek-V2')
    if values.get("norm_topk_prob"):
        right = "it must be false: implementations of DeepSeek-V2 disagree on what it means"
        raise keys.error("norm_topk_prob", values["norm_topk_prob"], right)
    method = values.get("topk_method", "greedy")
    if method not in ("greedy", "group_limited_greedy"):
        right = 'it must be "greedy" or "group_limited_greedy" in DeepSeek-V2'
        raise keys.error("topk_method", method, right)
    scaling = keys.number("routed_scaling_factor")
    gate = Gate("softmax", scaling=scaling)
    if method == "group_limited_greedy":
        groups = keys.count("n_group"), keys.count("topk_group")
        gate = Gate("softmax", *groups, group_best=1, scaling=scaling)
    return _read(keys, "DeepseekV2ForCausalLM", gate, norm_topk_prob=False, interleaved=True)


def read_v3(keys: Keys) -> ModelConfig:
    """Raises CheckpointError on what is not computed and on sizes that fit no model."""
    keys.require("scoring_func", "sigmoid", 'it must be "sigmoid" in DeepSeek-V3')
    keys.require("topk_method", "noaux_tc", 'it must be "noaux_tc" in DeepSeek-V3')
    gate = Gate(
        "sigmoid",
        keys.count("n_group"),
        keys.count("topk_group"),
        group_best=2,
        scaling=keys.number("routed_scaling_factor"),
    )
    return _read(
        keys,
        "DeepseekV3ForCausalLM",
        gate,
        norm_topk_prob=keys.flag("norm_topk_prob"),
        interleaved=keys.flag("rope_interleave", True),
    )


def _read(
    keys: Keys, architecture: str, gate: Gate, *, norm_topk_prob: bool, interleaved: bool
) -> ModelConfig:
    keys.require("moe_layer_freq", 1, "it must be 1: every layer after the dense ones is sparse")
    mla = _mla(keys, interleaved)
    rope_theta, yarn = read_rope(keys)
    moe_intermediate = keys.count("moe_intermediate_size")
    # DeepSeek's own code writes null where there are none.
    has_shared = keys.values.get(keys.first(*_SHARED), 0) is not None
    num_shared = keys.count_or_zero(*_SHARED) if has_shared else 0
    dense_layers = keys.count_or_zero("first_k_dense_replace")
    config = ModelConfig(
        architecture=architecture,
        dtype=keys.dtype(),
        hidden=mla.hidden,
        num_layers=keys.count("num_hidden_layers", most=WALKED_MAX),
        num_heads=mla.num_heads,
        num_kv_heads=mla.num_heads,
        head_dim=mla.head_dim,
        num_experts=keys.count(*_EXPERTS, most=WALKED_MAX),
        top_k=keys.count("num_experts_per_tok"),
        moe_intermediate=moe_intermediate,
        vocab=keys.count("vocab_size"),
        rope_theta=rope_theta,
        rms_eps=keys.number("rms_norm_eps", 1e-6),
        norm_topk_prob=norm_topk_prob,
        tie_embeddings=keys.flag("tie_word_embeddings", False),
        max_context=keys.count("max_position_embeddings"),
        eos_token_ids=keys.eos_token_ids(),
        gate=gate,
        mla=mla,
        yarn=yarn,
        dense_layers=dense_layers,
        dense_intermediate=keys.count("intermediate_size") if dense_layers else 0,
        shared_intermediate=num_shared * moe_intermediate,
    )
    _check_layers(keys, config)
    _check_groups(keys, config)
    return config


def _mla(keys: Keys, interleaved: bool) -> Mla:
    num_heads = keys.count("num_attention_heads")
    if keys.values.get("num_key_value_heads") is not None:
        right = f"it must be num_attention_heads, {num_heads}: all heads share one latent"
        keys.require("num_key_value_heads", num_heads, right)
    if "q_lora_rank" not in keys.values:
        raise keys.missing("q_lora_rank", "it must be a whole number >= 1, or null")
    is_low_rank = keys.values["q_lora_rank"] is not None
    rope_dim = keys.count("qk_rope_head_dim")
    if rope_dim % 2:
        right = "it must be even: rotary positions turn pairs"
        raise keys.error("qk_rope_head_dim", rope_dim, right)
    return Mla(
        hidden=keys.count("hidden_size"),
        num_heads=num_heads,
        q_rank=keys.count("q_lora_rank") if is_low_rank else None,
        kv_rank=keys.count("kv_lora_rank"),
        nope_dim=keys.count("qk_nope_head_dim"),
        rope_dim=rope_dim,
        value_dim=keys.count("v_head_dim"),
        interleaved=interleaved,
    )


def _check_layers(keys: Keys, config: ModelConfig) -> None:
    if config.dense_layers >= config.num_layers:
        right = f"it must be less than num_hidden_layers, {config.num_layers}: some must be sparse"
        raise keys.error("first_k_dense_replace", config.dense_layers, right)


def _check_groups(keys: Keys, config: ModelConfig) -> None:
    gate = config.gate
    if config.num_experts % gate.num_groups:
        right = f"it must divide n_routed_experts, {config.num_experts}"
        raise keys.error("n_group", gate.num_groups, right)
    size = config.num_experts // gate.num_groups
    if size < gate.group_best:
        right = f"a group of the {config.num_experts} experts must have at least {gate.group_best}"
        raise keys.error("n_group", gate.num_groups, right)
    if gate.groups_kept > gate.num_groups:
        right = f"it must be at most n_group, {gate.num_groups}"
        raise keys.error("topk_group", gate.groups_kept, right)
    choice = gate.groups_kept * size
    if config.top_k > choice:
        right = f"it must be at most the number of experts to choose from, {choice}"
        raise keys.error("num_experts_per_tok", config.top_k, right)

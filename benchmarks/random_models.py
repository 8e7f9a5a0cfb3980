"""Small models of random sizes in each family that we compute, saved as transformers saves them.

Weights are scaled so that logits differ clearly: with the usual 0.02 all tokens are nearly tied and
equality would be luck.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    DeepseekV2Config,
    DeepseekV3Config,
    PretrainedConfig,
    Qwen3MoeConfig,
)

MAX_CONTEXT = 256
Pick = Callable[..., Any]


def qwen3_moe(seed: int) -> PretrainedConfig:
    """A small Qwen3-MoE configuration of random sizes; the seed decides all."""
    rng = np.random.default_rng(seed)

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    kv_heads, experts = pick(1, 2, 3), pick(4, 6, 8, 16)
    hidden = pick(32, 48, 96, 128)
    return Qwen3MoeConfig(  # type: ignore[call-arg]  # head_dim is taken as a further keyword
        vocab_size=pick(97, 256, 512),
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=pick(1, 2, 3, 4),
        num_attention_heads=kv_heads * pick(1, 2, 4),
        num_key_value_heads=kv_heads,
        head_dim=pick(8, 16, 32),
        num_experts=experts,
        num_experts_per_tok=pick(1, 2, min(4, experts)),
        moe_intermediate_size=pick(24, 40, 64, 128),
        max_position_embeddings=MAX_CONTEXT,
        norm_topk_prob=bool(pick(0, 1)),
        tie_word_embeddings=bool(pick(0, 1)),
        rope_parameters={"rope_type": "default", "rope_theta": float(pick(10_000, 1_000_000))},
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def deepseek_v2(seed: int) -> PretrainedConfig:
    """As `qwen3_moe`, for DeepSeek-V2: softmax gates, plain or limited to the best groups."""
    pick = _picker(seed)
    sizes = _deepseek_sizes(pick)
    return DeepseekV2Config(
        **sizes,
        topk_method=pick("greedy", "group_limited_greedy") if sizes["n_group"] > 1 else "greedy",
        routed_scaling_factor=pick(1.0, 2.5, 4.0),
        norm_topk_prob=False,
    )


def deepseek_v3(seed: int) -> PretrainedConfig:
    """As `qwen3_moe`, for DeepSeek-V3: sigmoid gates with a bias for the choice."""
    pick = _picker(seed)
    return DeepseekV3Config(
        **_deepseek_sizes(pick),
        routed_scaling_factor=pick(1.0, 2.5),
        norm_topk_prob=pick(False, True),
        rope_interleave=pick(True, True, False),
    )


def deepseek_v3_on_kernels() -> PretrainedConfig:
    """A DeepSeek-V3 of some 4 M parameters, of widths that the kernels take."""
    return DeepseekV3Config(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=512,
        moe_intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=8,
        q_lora_rank=96,
        kv_lora_rank=128,
        qk_nope_head_dim=64,
        qk_rope_head_dim=32,
        v_head_dim=64,
        n_routed_experts=16,
        n_group=4,
        topk_group=2,
        num_experts_per_tok=4,
        n_shared_experts=1,
        first_k_dense_replace=1,
        routed_scaling_factor=2.5,
        norm_topk_prob=True,
        max_position_embeddings=MAX_CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def _picker(seed: int) -> Pick:
    # Of the streams tried, 6 has no two tokens so close that arithmetic could swap them among the
    # first 20 seeds: equal tokens then say that logits are right, unequal ones that they are not.
    rng = np.random.default_rng((seed, 6))

    def pick(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    return pick


def _deepseek_sizes(pick: Pick) -> dict[str, Any]:
    """What both have: latent attention, shared experts, dense layers, plain or stretched rope."""
    groups, group_size, layers = pick(1, 2, 4), pick(2, 3, 4, 8), pick(2, 3, 4)
    kept = min(groups, pick(1, 2, 3))
    return {
        "vocab_size": pick(97, 256, 512),
        "hidden_size": pick(32, 48, 96, 128),
        "intermediate_size": pick(40, 72, 100),
        "moe_intermediate_size": pick(24, 40, 64),
        "num_hidden_layers": layers,
        "num_attention_heads": (heads := pick(1, 2, 4, 8)),
        "num_key_value_heads": heads,
        "q_lora_rank": pick(None, 20, 48),
        "kv_lora_rank": pick(16, 36, 64),
        "qk_nope_head_dim": pick(8, 12, 32),
        "qk_rope_head_dim": pick(4, 8, 16),
        "v_head_dim": pick(8, 20, 32),
        "n_routed_experts": groups * group_size,
        "n_group": groups,
        "topk_group": kept,
        "num_experts_per_tok": pick(1, 2, min(4, kept * group_size)),
        "n_shared_experts": pick(0, 1, 2),
        "first_k_dense_replace": pick(0, 1, layers - 1),
        "max_position_embeddings": MAX_CONTEXT,
        "tie_word_embeddings": pick(False, True),
        "rms_norm_eps": pick(1e-6, 1e-3),
        "rope_parameters": _rope(pick),
        "initializer_range": 0.1,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }


def _rope(pick: Pick) -> dict[str, Any]:
    plain = {"rope_type": "default", "rope_theta": pick(10_000.0, 50_000.0)}
    if pick(False, True):
        return plain
    constants = pick((None, None), (0.707, 0.707), (1.0, 1.0), (0.8, 1.0))
    named = zip(("mscale", "mscale_all_dim"), constants, strict=True)
    return plain | {
        "rope_type": "yarn",
        "factor": pick(2.5, 8.0, 40.0),
        "original_max_position_embeddings": pick(32, 64, 4096),
        "beta_fast": pick(32, 4),
        "beta_slow": 1,
        **{name: value for name, value in named if value is not None},
    }


FAMILIES: dict[str, Callable[[int], PretrainedConfig]] = {
    "Qwen3-MoE": qwen3_moe,
    "DeepSeek-V2": deepseek_v2,
    "DeepSeek-V3": deepseek_v3,
}


def save_random_model(config: PretrainedConfig, seed: int, folder: Path, shards: bool) -> Any:
    """Write a model with random weights (norms and biases too) and return it; `shards`: many small
    files. Attention is transformers' plain one.
    """
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # Without shared experts transformers still builds them, with no numbers inside.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0.0, 0.2)
    model.save_pretrained(folder, max_shard_size="50KB" if shards else "1GB")
    return model

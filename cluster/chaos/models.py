"""Random models for digests, as their publishers would describe them."""

import json
from random import Random
from typing import Any

from configs.presets import ROOT


def grouped(random: Random) -> dict[str, Any]:
    base: dict[str, Any] = json.loads((ROOT / "perfuse_tiny" / "model" / "config.json").read_text())
    kv_heads = random.choice((1, 2, 4))
    experts = random.randint(2, 40)
    return base | {
        "num_hidden_layers": random.randint(1, 4),
        "num_attention_heads": kv_heads * random.choice((1, 2, 4)),
        "num_key_value_heads": kv_heads,
        "num_experts": experts,
        "num_experts_per_tok": random.randint(1, min(8, experts)),
        "vocab_size": random.randint(260, 5000),
        "max_position_embeddings": 1024,
    }


def latent(random: Random) -> dict[str, Any]:
    base: dict[str, Any] = json.loads(
        (ROOT / "scenarios" / "models" / "deepseek-v3.json").read_text()
    )
    del base["rope_scaling"]
    experts = random.randint(2, 40)
    layers = random.randint(2, 4)
    return base | {
        "hidden_size": 256,
        "intermediate_size": 512,
        "moe_intermediate_size": 128,
        "num_hidden_layers": layers,
        "first_k_dense_replace": random.randint(0, layers - 1),
        "n_shared_experts": random.randint(0, 2),
        "n_routed_experts": experts,
        "num_experts_per_tok": random.randint(1, min(8, experts)),
        "n_group": 1,
        "topk_group": 1,
        "vocab_size": random.randint(260, 5000),
        "max_position_embeddings": 1024,
    }


def windowed(random: Random) -> dict[str, Any]:
    """Like gpt-oss: layers of a window among such that meet all, or of a window alone."""
    experts, layers = random.randint(2, 40), random.randint(1, 4)
    kv_heads = random.choice((1, 2, 4))
    kinds = ("sliding_attention", random.choice(("full_attention", "sliding_attention")))
    return {
        "architectures": ["GptOssForCausalLM"],
        "hidden_size": 256,
        "num_hidden_layers": layers,
        "layer_types": [random.choice(kinds) for _ in range(layers)],
        "sliding_window": random.choice((1, 7, 16, 33, 70)),
        "num_attention_heads": kv_heads * random.choice((1, 2, 4)),
        "num_key_value_heads": kv_heads,
        "head_dim": 32,
        "intermediate_size": 128,
        "max_position_embeddings": 1024,
        "num_experts_per_tok": random.randint(1, min(8, experts)),
        "num_local_experts": experts,
        "vocab_size": random.randint(260, 5000),
    }


def indexed(random: Random) -> dict[str, Any]:
    """Like DeepSeek-V3.2: an index chooses what the latents' queries meet."""
    return latent(random) | {
        "architectures": ["DeepseekV32ForCausalLM"],
        "index_n_heads": random.choice((1, 4)),
        "index_head_dim": 32,
        "index_topk": random.choice((1, 16, 50, 2048)),
    }


def stateful(random: Random) -> dict[str, Any]:
    """Like Qwen3-Next, or Kimi Linear with its latents: a state in some layers, keys and values in
    the others; of both there is one at least.
    """
    layers = random.randint(2, 4)
    kept = sorted(random.sample(range(layers), random.randint(1, layers - 1)))
    experts = random.randint(2, 40)
    common = {
        "hidden_size": 256,
        "num_hidden_layers": layers,
        "max_position_embeddings": 1024,
        "moe_intermediate_size": 128,
        "num_experts": experts,
        "num_experts_per_tok": random.randint(1, min(8, experts)),
        "vocab_size": random.randint(260, 5000),
    }
    own = _qwen_next(random) if random.random() < 0.6 else _kimi_linear(random, layers, kept)
    kinds = ["full_attention" if layer in kept else "linear_attention" for layer in range(layers)]
    return common | own | {"layer_types": kinds}


def _qwen_next(random: Random) -> dict[str, Any]:
    kv_heads = random.choice((1, 2, 4))
    return {
        "architectures": ["Qwen3NextForCausalLM"],
        "num_attention_heads": kv_heads * random.choice((1, 2, 4)),
        "num_key_value_heads": kv_heads,
        "head_dim": 32,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4,
        "shared_expert_intermediate_size": 64,
    }


def _kimi_linear(random: Random, layers: int, kept: list[int]) -> dict[str, Any]:
    return {
        "architectures": ["KimiLinearForCausalLM"],
        "num_attention_heads": random.choice((2, 4, 8)),
        "kv_lora_rank": 64,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16,
        "v_head_dim": 32,
        "intermediate_size": 512,
        "first_k_dense_replace": random.randint(0, layers - 1),
        "num_shared_experts": random.randint(0, 2),
        "linear_attn_config": {
            "kda_layers": [layer + 1 for layer in range(layers) if layer not in kept],
            "full_attn_layers": [layer + 1 for layer in kept],
            "num_heads": 4,
            "head_dim": 16,
            "short_conv_kernel_size": 4,
        },
    }


def copies_of_keys(config: dict[str, Any], ranks: int) -> int:
    """How many of a chip's ranks hold the same keys, and may hold slices of the tokens instead; 1
    of a model in which no rank may.
    """
    is_linear = "linear_attention" in config.get("layer_types", ())
    if config.get("sliding_window") or "index_topk" in config or is_linear:
        return 1
    heads = 1 if "kv_lora_rank" in config else config["num_key_value_heads"]
    return max(1, ranks // int(heads))

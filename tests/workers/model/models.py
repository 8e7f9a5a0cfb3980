"""Random models on disk, written without transformers: sizes by key, weights from a seed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from configs.checkpoint_files import INDEX_FILE, SINGLE_FILE
from configs.families import load_model
from configs.model_config import ModelConfig
from workers.model.tensors import tensor_shapes

SIZES: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "vocab_size": 61,
    "max_position_embeddings": 256,
    "rope_theta": 10_000.0,
    "rms_norm_eps": 1e-6,
    "norm_topk_prob": True,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "eos_token_id": None,
}

# A dense layer first, a shared expert, and every second group of experts.
DEEPSEEK_V3: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 20,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "vocab_size": 61,
    "max_position_embeddings": 256,
    "rope_theta": 10_000.0,
    "rope_scaling": {
        "type": "yarn",
        "factor": 4,
        "original_max_position_embeddings": 64,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "eos_token_id": None,
}

# Queries in one step, plain positions, no group and no shared expert.
DEEPSEEK_V2: dict[str, Any] = DEEPSEEK_V3 | {
    "architectures": ["DeepseekV2ForCausalLM"],
    "q_lora_rank": None,
    "n_shared_experts": None,
    "topk_method": "greedy",
    "n_group": None,
    "topk_group": None,
    "norm_topk_prob": False,
    "rope_scaling": None,
}

# Sizes off the kernels' edges, and those that they ask for: latent and rotated width.
KERNEL_QWEN: dict[str, Any] = SIZES | {
    "hidden_size": 144,
    "head_dim": 32,
    "num_hidden_layers": 3,
    "num_experts": 6,
    "moe_intermediate_size": 72,
    "vocab_size": 203,
}
_KERNEL_LATENT: dict[str, Any] = {
    "hidden_size": 144,
    "intermediate_size": 100,
    "moe_intermediate_size": 72,
    "kv_lora_rank": 48,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 24,
    "v_head_dim": 20,
    "vocab_size": 203,
}
KERNEL_V2: dict[str, Any] = DEEPSEEK_V2 | _KERNEL_LATENT
KERNEL_V3: dict[str, Any] = DEEPSEEK_V3 | _KERNEL_LATENT


def write_config(folder: Path, sizes: Mapping[str, Any] = SIZES, **changes: Any) -> Path:
    """config.json with some keys changed; a key changed to `...` is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {key: value for key, value in {**sizes, **changes}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """All tensors of the model; products keep their input's scale, so logits differ clearly."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in tensor_shapes(config):
        if name.endswith("bias"):
            weight = rng.normal(0.0, 0.2, shape)
        elif len(shape) == 1:
            weight = rng.uniform(0.5, 1.5, shape)
        else:
            weight = rng.normal(0.0, shape[-1] ** -0.5, shape)
        weights[name] = weight.astype(np.float32)
    return weights


def write_model(
    folder: Path, seed: int = 0, sizes: Mapping[str, Any] = SIZES, **changes: Any
) -> Path:
    """A model in one file."""
    write_config(folder, sizes, **changes)
    save_file(random_weights(load_model(folder), seed), folder / SINGLE_FILE)
    return folder


def write_shards(folder: Path, weights: Mapping[str, np.ndarray]) -> Path:
    """One file for each tensor, and an index."""
    names = {name: f"part-{number:05}.safetensors" for number, name in enumerate(weights)}
    for name, weight in weights.items():
        save_file({name: weight}, folder / names[name])
    index = {"metadata": {}, "weight_map": names}
    (folder / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")
    return folder

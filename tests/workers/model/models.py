"""Random models on disk, written without transformers: sizes by key, weights from a seed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from configs.model_config import ModelConfig
from workers.model.checkpoint import INDEX_FILE, SINGLE_FILE, tensor_shapes

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


def write_config(folder: Path, **changes: Any) -> Path:
    """config.json with some keys changed; a key changed to `...` is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {key: value for key, value in (SIZES | changes).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """All tensors of the model; products keep their input's scale, so logits differ clearly."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in tensor_shapes(config):
        if len(shape) == 1:
            weight = rng.uniform(0.5, 1.5, shape)
        else:
            weight = rng.normal(0.0, shape[-1] ** -0.5, shape)
        weights[name] = weight.astype(np.float32)
    return weights


def write_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A model in one file."""
    write_config(folder, **changes)
    save_file(random_weights(ModelConfig.load(folder), seed), folder / SINGLE_FILE)
    return folder


def write_shards(folder: Path, weights: Mapping[str, np.ndarray]) -> Path:
    """One file for each tensor, and an index."""
    names = {name: f"part-{number:05}.safetensors" for number, name in enumerate(weights)}
    for name, weight in weights.items():
        save_file({name: weight}, folder / names[name])
    index = {"metadata": {}, "weight_map": names}
    (folder / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")
    return folder

"""A random Qwen3-MoE checkpoint of 0.7 B parameters, bf16, in a Hugging Face folder.

    python -m benchmarks.peers.make_model [--folder build/peers/model] [--seed 1]

The values are drawn so that an engine's rounding to bf16 changes few tokens, and another model
many: with gains of one everywhere the network is chaotic (rounding once a layer moves the logits by
56 %), with the usual 0.02 attention is flat and a wrong engine passes. As drawn, rounding moves
them by about 2 %; another base of the rotary angles, or experts' weights a fifth too small, by 14
to 40 %.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.peers.paths import MODEL
from configs.checkpoint_files import INDEX_FILE
from configs.families import load_model
from configs.model_config import ModelConfig
from workers.model.checkpoint import verify
from workers.model.tensors import Shape, tensor_shapes

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "decoder_sparse_step": 1,
    "eos_token_id": None,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 2048,
    "max_position_embeddings": 4096,
    "mlp_only_layers": [],
    "moe_intermediate_size": 512,
    "norm_topk_prob": True,
    "num_attention_heads": 16,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 12,
    "num_key_value_heads": 4,
    "pad_token_id": None,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1_000_000.0,
    "router_aux_loss_coef": 0.001,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 32_000,
}
# Gains on top of 1 / sqrt(inputs), which keeps the variance of what passes through. Sublayers add
# little to the residual stream, as in trained models. The gate is decided: the last of the chosen
# experts has a small share, so a rounding that swaps it changes little. Logits spread to a standard
# deviation of 3: the best of 32,000 leads by some tenths.
GAINS = {"mlp.gate.": 3.0, "o_proj": 0.35, "down_proj": 0.6, "lm_head": 3.0}


def random_tensor(name: str, shape: Shape, generator: torch.Generator) -> torch.Tensor:
    """One tensor in bf16; its name says what it is for."""
    if len(shape) == 1:
        low, high = (0.85, 1.35) if "q_norm" in name or "k_norm" in name else (0.5, 1.5)
        return (low + (high - low) * torch.rand(shape, generator=generator)).bfloat16()
    drawn = torch.randn(shape, generator=generator)
    if "embed_tokens" in name:
        return drawn.bfloat16()
    gain = next((value for part, value in GAINS.items() if part in name), 1.0)
    return (drawn * (gain / math.sqrt(shape[1]))).bfloat16()


def shards(config: ModelConfig) -> Iterator[tuple[str, dict[str, Shape]]]:
    """File name and the tensors in it: one file for each layer, one for what is outside of them."""
    by_file: dict[str, dict[str, Shape]] = {}
    for name, shape in tensor_shapes(config):
        part = int(name.split(".")[2]) + 1 if name.startswith("model.layers.") else 0
        file = f"model-{part + 1:05d}-of-{config.num_layers + 1:05d}.safetensors"
        by_file.setdefault(file, {})[name] = shape
    yield from sorted(by_file.items())


def make_model(folder: Path, seed: int, config: dict[str, object] = CONFIG) -> ModelConfig:
    """Write the checkpoint; the same seed gives the same bytes. The index comes last: a folder
    without one is not finished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX_FILE).unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    sizes = load_model(folder)
    generator = torch.Generator().manual_seed(seed)
    weight_map: dict[str, str] = {}
    for file, shapes in shards(sizes):
        tensors = {name: random_tensor(name, shape, generator) for name, shape in shapes.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
    index = {"metadata": {"total_size": sizes.total_bytes(2)}, "weight_map": weight_map}
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    verify(folder, sizes)
    return sizes


def finished(folder: Path) -> bool:
    """Whether `make_model` came to its end there."""
    return (folder / INDEX_FILE).is_file()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=MODEL, help="where to write it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sizes = make_model(options.folder, options.seed)
    print(f"{options.folder}: {sizes.total_bytes(1) / 1e9:.3f} B parameters, bf16, shards")
    return 0


if __name__ == "__main__":
    sys.exit(main())

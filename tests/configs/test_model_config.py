"""A model folder's config.json is read whole or refused with its key."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from configs.model_config import ModelConfig
from tests.workers.model.models import write_config
from workers.model.tensors import chip_shapes, expert_shapes, tensor_shapes


def test_reads_every_size(tmp_path: Path) -> None:
    config = load_model(write_config(tmp_path, eos_token_id=[3, 5]))
    assert config == ModelConfig(
        architecture="Qwen3MoeForCausalLM",
        dtype="float32",
        hidden=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        num_experts=4,
        top_k=2,
        moe_intermediate=24,
        vocab=61,
        rope_theta=10_000.0,
        rms_eps=1e-6,
        norm_topk_prob=True,
        tie_embeddings=False,
        max_context=256,
        eos_token_ids=(3, 5),
    )


def test_reads_the_newer_spelling(tmp_path: Path) -> None:
    """transformers 5 writes num_local_experts, rope_parameters and dtype."""
    folder = write_config(
        tmp_path,
        num_experts=...,
        num_local_experts=4,
        rope_theta=...,
        rope_parameters={"rope_type": "default", "rope_theta": 5e5},
        torch_dtype=...,
        dtype="bfloat16",
    )
    config = load_model(folder)
    assert (config.num_experts, config.rope_theta, config.dtype) == (4, 5e5, "bfloat16")


def test_the_base_of_the_angles_counts_where_it_stands(tmp_path: Path) -> None:
    """transformers takes one beside rope_parameters that has none inside."""
    plain = {"rope_type": "default"}
    folder = write_config(tmp_path, rope_theta=7e5, rope_parameters=plain)
    assert load_model(folder).rope_theta == 7e5
    folder = write_config(tmp_path, rope_theta=7e5, rope_parameters=plain | {"rope_theta": 3e4})
    assert load_model(folder).rope_theta == 3e4


def test_head_dim_follows_from_hidden_where_left_out(tmp_path: Path) -> None:
    assert load_model(write_config(tmp_path, head_dim=...)).head_dim == 8


def test_generation_config_decides_the_end(tmp_path: Path) -> None:
    folder = write_config(tmp_path, eos_token_id=1)
    assert load_model(folder).eos_token_ids == (1,)
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9, 7]}', encoding="utf-8")
    assert load_model(folder).eos_token_ids == (7, 9)
    (folder / "generation_config.json").write_text('{"do_sample": false}', encoding="utf-8")
    assert load_model(folder).eos_token_ids == (1,)


def test_byte_counts_are_those_of_the_tensors(tmp_path: Path) -> None:
    for tied in (False, True):
        config = load_model(write_config(tmp_path, tie_word_embeddings=tied))
        sizes = [_product(shape) for _, shape in tensor_shapes(config)]
        chip = [_product(shape) for _, shape in chip_shapes(config)]
        expert = [_product(shape) for _, shape in expert_shapes(config, 0, 0)]
        assert config.total_bytes(2) == 2 * sum(sizes)
        assert config.chip_bytes(4) == 4 * sum(chip)
        assert config.expert_bytes(4) == 4 * sum(expert)
        assert config.kv_bytes_per_token(4) == 2 * 2 * 2 * 8 * 4


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, ["LlamaForCausalLM", "Qwen3MoeForCausalLM"]),
        ({"architectures": [["Qwen3MoeForCausalLM"]]}, ["architectures", "Qwen3MoeForCausalLM"]),
        ({"rope_parameters": 3}, ["rope_parameters", "3", "object"]),
        ({"rope_theta": float("inf")}, ["rope_theta", "Infinity", "finite"]),
        ({"architectures": ...}, ["architectures", "Qwen3MoeForCausalLM"]),
        ({"attention_bias": True}, ["attention_bias", "false"]),
        ({"sliding_window": 4096, "use_sliding_window": True}, ["sliding_window", "4096"]),
        ({"mlp_only_layers": [0]}, ["mlp_only_layers", "sparse"]),
        ({"decoder_sparse_step": 2}, ["decoder_sparse_step", "1"]),
        ({"rope_scaling": {"type": "yarn"}}, ["rope_scaling.factor is missing"]),
        ({"rope_parameters": {"rope_type": "yarn"}}, ["rope_parameters.factor is missing"]),
        ({"rope_scaling": {"type": "dynamic", "factor": 2}}, ["rope_scaling.type", "'dynamic'"]),
        ({"rope_parameters": {"type": "linear"}}, ["rope_parameters.type", "linear"]),
        ({"hidden_act": "gelu"}, ["hidden_act", "silu"]),
        ({"quantization_config": {"bits": 4}}, ["quantization_config.quant_method is None", "fp8"]),
        ({"num_key_value_heads": 3}, ["num_key_value_heads", "3", "divide", "4"]),
        ({"num_experts_per_tok": 5}, ["num_experts_per_tok", "5", "at most", "4"]),
        ({"head_dim": 7}, ["head_dim", "even"]),
        ({"hidden_size": ...}, ["hidden_size", "missing"]),
        ({"hidden_size": 0}, ["hidden_size", "0", ">= 1"]),
        ({"vocab_size": "many"}, ["vocab_size", "many"]),
        ({"num_hidden_layers": True}, ["num_hidden_layers", "True"]),
        ({"rms_norm_eps": 0}, ["rms_norm_eps", "above 0"]),
        ({"norm_topk_prob": "yes"}, ["norm_topk_prob", "true or false"]),
        ({"torch_dtype": "int8"}, ["torch_dtype", "int8", "bfloat16"]),
        ({"eos_token_id": 61}, ["eos_token_id", "61", "60"]),
        ({"head_dim": ..., "hidden_size": 30}, ["head_dim", "30", "4"]),
    ],
)
def test_refuses_with_file_key_and_what_would_be_right(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    folder = write_config(tmp_path, **changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for word in (str(folder / "config.json"), *words):
        assert word in str(caught.value)


def test_an_unused_window_is_no_window(tmp_path: Path) -> None:
    """Qwen's own files carry sliding_window beside use_sliding_window = false."""
    folder = write_config(tmp_path, sliding_window=4096, use_sliding_window=False)
    assert load_model(folder).num_layers == 2


@pytest.mark.parametrize("text", ["{", "[1]", "\xff"])
def test_refuses_what_is_no_json_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tmp_path)


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="file is missing"):
        load_model(tmp_path)
    with pytest.raises(CheckpointError, match="folder does not exist"):
        load_model(tmp_path / "nowhere")


def test_reads_published_configurations(tmp_path: Path) -> None:
    """The keys of Qwen3-30B-A3B as published; its size is in its name."""
    published = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "eos_token_id": 151645,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "max_position_embeddings": 40960,
        "max_window_layers": 48,
        "mlp_only_layers": [],
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "num_attention_heads": 32,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_sliding_window": False,
        "vocab_size": 151936,
    }
    (tmp_path / "config.json").write_text(json.dumps(published), encoding="utf-8")
    assert round(load_model(tmp_path).total_bytes(1) / 1e9, 1) == 30.5

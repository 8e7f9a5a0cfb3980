"""What cannot be described is refused by one line: file, key, value, and what would be right."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs.checkpoint_files import CheckpointError
from configs.model_presets import model_preset
from configs.shapes.describe import describe_file, describe_model

REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "an unknown family": (
        "llama-3.1-8b",
        {"architectures": ["LlamaForCausalLN"]},
        "architectures is ['LlamaForCausalLN']; it must be a family that is described: did you "
        "mean 'LlamaForCausalLM'",
    ),
    "no family": ("llama-3.1-8b", {"architectures": None}, "architectures is None; it must be"),
    "heads": ("llama-3.1-8b", {"num_key_value_heads": 5}, "num_key_value_heads is 5; it must div"),
    "too many": ("gpt-oss-20b", {"num_experts_per_tok": 33}, "num_experts_per_tok is 33; it must"),
    "a text": ("gpt-oss-20b", {"sliding_window": "128"}, "sliding_window is '128'; it must be a"),
    "a short list": ("mimo-v2-flash", {"moe_layer_freq": [0, 1]}, "an entry for each of 48 layers"),
    "a wrong entry": (
        "mimo-v2-flash",
        {"hybrid_layer_pattern": [2] * 48},
        "hybrid_layer_pattern is 2; each must be 0 or 1",
    ),
    "a ratio": ("deepseek-v4-pro", {"compress_ratios": [8] * 61}, "compress_ratios is 8; each"),
    "a letter": (
        "nemotron-3-nano",
        {"hybrid_override_pattern": "MX" * 26},
        "hybrid_override_pattern is 'MXMX",
    ),
    "a kind of layer": (
        "qwen3.5-27b",
        {"layer_types": ["conv"] * 64},
        "layer_types is 'conv'; each must be 'full_attention' or 'linear_attention'",
    ),
    "a method": (
        "qwen3-8b",
        {"quantization_config": {"quant_method": "awq"}},
        "quantization_config.quant_method is 'awq'; weights are described as",
    ),
    "an algorithm": (
        "qwen3-8b",
        {"quantization_config": {"quant_method": "modelopt", "quant_algo": "W8A8_SQ"}},
        "quantization_config.quant_algo is 'W8A8_SQ'; of ModelOpt's are described NVFP4",
    ),
    "a dtype": ("qwen3-8b", {"torch_dtype": "float8"}, "torch_dtype is 'float8'; it must be fl"),
    "no dtype": ("qwen3-8b", {"torch_dtype": [{}]}, "torch_dtype is [{}]; it must be fl"),
    "a block": (
        "qwen3-8b",
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 0]}},
        "weight_block_size is [128, 0]; it must be rows and columns",
    ),
}


def write(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(model_preset(name).config | changes), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    name, changes, words = REFUSED[case]
    path = write(tmp_path, name, **changes)
    with pytest.raises(CheckpointError) as caught:
        describe_file(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert words in text


def test_text_parts_are_named_in_errors_and_others_in_notes(tmp_path: Path) -> None:
    inner = model_preset("qwen3.5-27b").config
    whole = {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "text_config": inner,
        "vision_config": {"depth": 27},
        "tie_word_embeddings": False,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    shape = describe_file(path)
    assert shape.parameters == describe_model("qwen3.5-27b").parameters
    assert shape.notes == ("the vision part is not counted",)
    whole["text_config"] = inner | {"head_dim": 0}
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"text_config\.head_dim is 0; it must be a whole"):
        describe_file(path)


def test_keys_that_nobody_reads_are_told(tmp_path: Path) -> None:
    """One that may speak of sizes; none that speaks of training, sampling or nothing."""
    more = {"num_memory_heads": 4, "router_aux_loss_coef": 0.1, "num_beams": 4, "n_lanes": 0}
    shape = describe_file(write(tmp_path, "qwen3-8b", **more))
    assert shape.notes == ("not read, though it may speak of sizes: num_memory_heads",)


def test_keys_that_no_screen_shows_are_told_in_quotes(tmp_path: Path) -> None:
    """Nothing of a file's own reaches a terminal as a command to it, or breaks its encoding."""
    more = {"\x1b[31m_size": 3, "\ud800_size": 3, "n" * 99 + "_size": 3}
    (note,) = describe_file(write(tmp_path, "qwen3-8b", **more)).notes
    assert note.isprintable()
    assert "'\\ud800_size', '\\x1b[31m_size'" in note
    assert "n" * 61 not in note


def test_infinity_is_read_as_python_writes_it(tmp_path: Path) -> None:
    path = write(tmp_path, "nemotron-3-nano", time_step_limit=[0.0, float("inf")])
    assert "Infinity" in path.read_text(encoding="utf-8")
    assert describe_file(path).layers == describe_model("nemotron-3-nano").layers
    path.write_text(path.read_text(encoding="utf-8").replace("Infinity", "NaN"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="NaN"):
        describe_file(path)


def test_a_name_of_nothing_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no model is called 'deepseek-v33': did you mean"):
        describe_model("deepseek-v33")

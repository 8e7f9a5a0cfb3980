"""Weights as they are stored: formats by hand, and which module has which."""

import json
from pathlib import Path
from typing import Any

from configs.model_presets import model_preset
from configs.shapes.describe import describe_file, describe_model
from configs.shapes.formats import FP8_ROW, FP8_TENSOR, MXFP4, NVFP4, fp8_blocks, int_groups
from configs.shapes.shape import ModelShape
from configs.shapes.told import storage_words


def stored(folder: Path, settings: dict[str, Any], name: str = "qwen3-8b") -> ModelShape:
    path = folder / "config.json"
    values = model_preset(name).config | {"quantization_config": settings}
    path.write_text(json.dumps(values), encoding="utf-8")
    return describe_file(path)


def formats(shape: ModelShape, layer: int | None = 0) -> dict[str, str]:
    """By the last word of each matrix's name."""
    weights = shape.outside() if layer is None else shape.weights(layer)
    found = {each.name: shape.storage.of(layer, each).name for each in weights if not each.added}
    return {name.rpartition(".")[2]: kind for name, kind in found.items()}


def test_bytes_of_formats() -> None:
    """A matrix of 200 x 300."""
    assert MXFP4.num_bytes(200, 300) == 30_000 + 200 * 10
    assert NVFP4.num_bytes(200, 300) == 30_000 + 200 * 19 + 4
    assert FP8_TENSOR.num_bytes(200, 300) == 60_000 + 4
    assert FP8_ROW.num_bytes(200, 300) == 60_000 + 4 * 200
    assert fp8_blocks(128, 128).num_bytes(200, 300) == 60_000 + 4 * 2 * 3
    assert fp8_blocks(128, 128, 1).num_bytes(200, 300) == 60_000 + 2 * 3
    assert int_groups(4, 32).num_bytes(200, 300) == 30_000 + 2 * 200 * 10
    assert int_groups(4, 32).num_bytes(1, 3) == 2 + 2


def test_checkpoints_of_gpt_oss() -> None:
    """OpenAI's model card (arXiv 2508.10925), table 1: 60.8 GiB and 12.8 GiB."""
    sizes = {"gpt-oss-120b": "60.8", "gpt-oss-20b": "12.8"}
    for name, gib in sizes.items():
        assert f"{describe_model(name).stored_bytes / 2**30:.1f}" == gib
    assert storage_words(describe_model("gpt-oss-20b")) == "mxfp4 experts; bf16 all else"


def test_lists_keep_modules_wide(tmp_path: Path) -> None:
    settings = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "ignore": ["lm_head", "model.language_model.layers.0.self_attn*", "re:.*down_proj"],
    }
    shape = stored(tmp_path, settings)
    assert set(formats(shape).items()) == {
        ("q_proj", "bf16"), ("k_proj", "bf16"), ("v_proj", "bf16"), ("o_proj", "bf16"),
        ("gate_proj", "nvfp4"), ("up_proj", "nvfp4"), ("down_proj", "bf16"),
    }  # fmt: skip
    assert formats(shape, 1)["q_proj"] == "nvfp4"
    assert formats(shape, None) == {"lm_head": "bf16"}
    # Layer 0 differs, so layers are not counted as one.
    assert shape.stored_bytes == sum(shape.layer_bytes(i) for i in range(36)) + sum(
        shape.storage.num_bytes(None, each) for each in shape.outside()
    )


def test_modules_named_one_by_one(tmp_path: Path) -> None:
    named = {f"model.layers.{i}.mlp.{name}_proj": {"quant_algo": "NVFP4"}
             for i in range(36) for name in ("gate", "up", "down")}  # fmt: skip
    named |= {"lm_head": {"quant_algo": "FP8"}}
    settings = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}
    shape = stored(tmp_path, settings | {"quantized_layers": named})
    assert formats(shape, 35)["up_proj"] == "nvfp4"
    assert formats(shape, 35)["o_proj"] == "bf16"
    assert formats(shape, None)["lm_head"] == "fp8 (a scale per tensor)"


def test_experts_alone(tmp_path: Path) -> None:
    """Kimi-K2.5: int4 experts; DeepSeek-V4: fp4 experts, all else fp8."""
    assert (
        storage_words(describe_model("kimi-k2.5")) == "int4 (groups of 32) experts; bf16 all else"
    )
    words = storage_words(describe_model("deepseek-v4-pro"))
    assert words.startswith("mxfp4 experts; fp8 (blocks of 128 x 128) attention, shared")


def test_a_name_alone_tells_no_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-8B-NVFP4"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(model_preset("qwen3-8b").config))
    shape = describe_file(folder)
    assert shape.stored_bytes == describe_model("qwen3-8b").stored_bytes
    assert shape.notes == (
        "bytes of weights are estimated: its name says NVFP4, and no file says which weights: "
        "hf_quant_config.json would",
    )
    beside = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(beside))
    assert formats(describe_file(folder))["q_proj"] == "nvfp4"
    assert describe_file(folder).notes == ()

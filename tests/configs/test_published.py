"""Published configurations are planned as their publishers state, or refused in one line."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.configs import ACCEPTED, row_of
from configs.checkpoint_files import CheckpointError
from configs.families import load_model
from configs.fp8 import Fp8
from configs.model_config import ModelConfig
from configs.plan import make_plan
from configs.precision import EXACT, Precision, stored
from configs.schema import load_scenario
from configs.sizing import sizes_of
from tests.configs.published import (
    FP8,
    KIMI_K2,
    QWEN3_30B,
    QWEN3_30B_FP8,
    QWEN3_235B,
    QWEN3_CODER_480B,
    V2_LITE,
    V3,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("PERFUSE_SHARED_DATA", ROOT.parent / "shared" / "data"))
FILES = sorted((DATA / "model_configs").glob("*.json"))


def read(folder: Path, values: dict[str, Any], **changes: Any) -> ModelConfig:
    """A key changed to `...` is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {key: value for key, value in {**values, **changes}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(there), encoding="utf-8")
    return load_model(folder)


@pytest.mark.skipif(not FILES, reason="the published files are not beside the repository")
def test_every_published_file_is_treated_as_it_must_be() -> None:
    rows = [row_of(path) for path in FILES]
    assert [f"{row.name}: {row.value}" for row in rows if not row.holds] == []
    assert set(ACCEPTED) <= {path.stem for path in FILES}
    assert len(FILES) == 97


@pytest.mark.skipif(not FILES, reason="the published files are not beside the repository")
@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_files_are_planned_in_a_scenario(tmp_path: Path, name: str) -> None:
    shutil.copy(DATA / "model_configs" / f"{name}.json", tmp_path / "config.json")
    config = load_model(tmp_path)
    keys = {
        "model.path": str(tmp_path),
        "model.dtype": "bf16",
        "model.max_model_len": 4096,
        "cluster.nodes.chip.device.tiers.hbm.capacity": "2 TB",
    }
    plan = make_plan(load_scenario("single", keys), config)
    assert len(plan.experts) == config.num_experts
    assert plan.kv_block_bytes == 16 * ACCEPTED[name].kv_bytes


# Parameters of the main model (published: 671 B, 1.04 T, 15.7 B, 30.5 B, 235 B, 480 B), and bytes
# of KV a token in bf16 (DeepSeek-V3's: 70.272 KB, arXiv 2505.09343, table 1).
FIGURES = {
    "DeepSeek-V3": (V3, 671_026_419_200, 70_272),
    "Kimi-K2": (KIMI_K2, 1_026_408_232_448, 70_272),
    "DeepSeek-V2-Lite": (V2_LITE, 15_706_484_224, 31_104),
    "Qwen3-30B-A3B": (QWEN3_30B, 30_532_122_624, 98_304),
    "Qwen3-235B-A22B": (QWEN3_235B, 235_093_634_560, 192_512),
    "Qwen3-Coder-480B-A35B": (QWEN3_CODER_480B, 480_154_875_392, 253_952),
}


@pytest.mark.parametrize("name", FIGURES)
def test_parameters_and_kv_are_those_published(tmp_path: Path, name: str) -> None:
    values, parameters, kv_bytes = FIGURES[name]
    config = read(tmp_path, values)
    sizes = sizes_of(config, stored(config))
    assert sizes.parameters == parameters
    assert sizes.kv_token_bytes == kv_bytes


def _fp8_bytes(*shapes: tuple[int, int]) -> int:
    """By hand: a byte a weight, and four for each block of 128 x 128, begun or whole."""
    return sum(r * c + 4 * ((r + 127) // 128) * ((c + 127) // 128) for r, c in shapes)


@pytest.mark.parametrize("wide_bytes", [2, 4])
def test_bytes_of_deepseek_v3_in_fp8(tmp_path: Path, wide_bytes: int) -> None:
    """576 rows are four and a half blocks: 5 x 56 scales."""
    config = read(tmp_path, V3)
    precision = Precision("bf16", "bf16") if wide_bytes == 2 else EXACT
    attention = _fp8_bytes(
        (1536, 7168), (128 * 192, 1536), (576, 7168), (128 * 256, 512), (7168, 128 * 128)
    )
    expert = _fp8_bytes((2048, 7168), (2048, 7168), (7168, 2048))
    dense = _fp8_bytes((18432, 7168), (18432, 7168), (7168, 18432))
    norms = 4 * (2 * 7168 + 1536 + 512)
    gate = 4 * (256 * 7168 + 256)
    assert expert == 44_040_192 + 4 * 3 * 16 * 56
    assert precision.expert_bytes(config) == expert
    assert precision.layer_bytes(config, 0) == attention + dense + norms
    assert precision.layer_bytes(config, 3) == attention + expert + norms + gate
    total = 3 * (attention + dense + norms) + 58 * (attention + 257 * expert + norms + gate)
    total += 2 * wide_bytes * 129280 * 7168 + 4 * 7168
    assert precision.total_bytes(config) == total
    assert str(Precision("bf16", "bf16").label(config)).startswith("fp8 (blocks of 128 x 128)")
    # What is made anew of the numbers takes its own bytes.
    int8 = Precision("int8", "bf16")
    assert int8.total_bytes(config) == int8.total_bytes(replace(config, fp8=None))


def test_fp8_of_qwen_keeps_gates_and_head(tmp_path: Path) -> None:
    config = read(tmp_path, QWEN3_30B_FP8)
    assert config.fp8 == Fp8("block", 128, 128)
    expert = _fp8_bytes((768, 2048), (768, 2048), (2048, 768))
    assert Precision("bf16").shard_bytes(config, 128) == 128 * 48 * expert
    assert stored(config) == Precision("bf16", "bf16")
    assert stored(read(tmp_path, QWEN3_30B, torch_dtype="float32")) == EXACT
    assert stored(read(tmp_path, QWEN3_30B, torch_dtype=None)) == EXACT


def test_deepseek_v31_has_scales_of_powers_of_two(tmp_path: Path) -> None:
    """They are fp32 in its files, and multiply as any other."""
    v31 = FP8 | {"scale_fmt": "ue8m0"}
    assert read(tmp_path, V3, quantization_config=v31).fp8 == Fp8("block", 128, 128)


def test_other_writers_names(tmp_path: Path) -> None:
    renamed = {"n_routed_experts": ..., "n_shared_experts": ...}
    theirs = {"num_routed_experts": 256, "num_shared_experts": 1}
    assert read(tmp_path, V3, **renamed, **theirs) == read(tmp_path / "own", V3)
    with pytest.raises(CheckpointError, match=r"num_routed_experts is 128; it must be 256, as n_r"):
        read(tmp_path, V3, num_routed_experts=128)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "V3.2": (V3, {"architectures": ["DeepseekV32ForCausalLM"]}, ["DeepseekV32ForCausalLM"]),
    "V3.2's type": (V3, {"model_type": "deepseek_v32"}, ["model_type", "deepseek_v3 or kimi_k2"]),
    "sparse attention": (V3, {"index_topk": 2048}, ["index_topk is 2048", "not computed"]),
    "Kimi-K2.5": (
        {"architectures": ["KimiK25ForConditionalGeneration"], "text_config": KIMI_K2},
        {},
        ["KimiK25ForConditionalGeneration"],
    ),
    "dense Qwen3": (QWEN3_30B, {"architectures": ["Qwen3ForCausalLM"]}, ["Qwen3ForCausalLM"]),
    "no architecture": (QWEN3_30B, {"architectures": None}, ["architectures is None"]),
    "a scale on logits": (QWEN3_30B, {"logits_scaling": 8.0}, ["logits_scaling is 8.0"]),
    "a cap on logits": (V3, {"final_logit_softcapping": 30.0}, ["final_logit_softcapping"]),
    "no norm of queries": (QWEN3_30B, {"use_qk_norm": False}, ["use_qk_norm is False", "true"]),
    "biases": (QWEN3_30B, {"qkv_bias": True}, ["qkv_bias is True"]),
    "shared experts": (
        QWEN3_30B,
        {"shared_expert_intermediate_size": 512},
        ["shared_expert_intermediate_size is 512"],
    ),
    "a window": (
        QWEN3_30B,
        {"layer_types": ["sliding_attention"] * 48},
        ["layer_types", "full_attention"],
    ),
    "half of a head rotated": (
        QWEN3_30B,
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        ["rope_parameters.partial_rotary_factor is 0.5"],
    ),
    "sections of positions": (
        QWEN3_30B,
        {"rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20]}},
        ["rope_scaling.mrope_section"],
    ),
    "two kinds": (
        QWEN3_30B,
        {"rope_scaling": {"rope_type": "default", "type": "yarn", "factor": 4}},
        ["rope_scaling.type is 'yarn'", "'default', as rope_type is"],
    ),
    "another V3": (V3, {"moe_layer_freq": 2}, ["moe_layer_freq is 2"]),
    "a number in quotes": (V3, {"hidden_size": "7168"}, ["hidden_size is '7168'"]),
    "null layers": (V3, {"num_hidden_layers": None}, ["num_hidden_layers is None"]),
    "Infinity beside": (
        {"architectures": ["NemotronHForCausalLM"], "time_step_limit": [0.0, float("inf")]},
        {},
        ["architectures is ['NemotronHForCausalLM']"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused_by_name(tmp_path: Path, name: str) -> None:
    values, changes, words = REFUSED[name]
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, values, **changes)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'config.json'}: ")
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    "changes",
    [
        {"_name_or_path": "x/y", "_attn_implementation": "sdpa", "unsloth_version": "2025.5.1"},
        {"output_router_logits": True, "router_z_loss_coef": 0.01, "resid_pdrop": 0.1},
        {"logits_scaling": 1.0, "embedding_multiplier": 1, "index_topk": None, "some_list": []},
        {
            "id2label": {"0": "A"},
            "pad_token_id": 7,
            "temperature": 0.6,
            "quantization_config": None,
        },
    ],
)
def test_what_changes_no_token_is_accepted(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert read(tmp_path, QWEN3_30B, **changes) == read(tmp_path / "plain", QWEN3_30B)


def test_four_bits_that_only_the_folders_name_tells(tmp_path: Path) -> None:
    """NVIDIA's config.json is that of the full weights; ModelOpt's file is left behind easily."""
    with pytest.raises(CheckpointError, match=r"is called 'Qwen3-30B-A3B-NVFP4'.*hf_quant_config"):
        read(tmp_path / "Qwen3-30B-A3B-NVFP4", QWEN3_30B)
    read(tmp_path / "Qwen3-30B-A3B-FP8", QWEN3_30B_FP8)
    read(tmp_path / "Qwen3-30B-A3B", QWEN3_30B)
